// The built-in agent, whose model may call tools of the page, of the server, and for the state.

import { histories, open } from "../clients.mjs";

async function seen(client, at, more = {}) {
  const live = client.view();
  return { live, ...more, later: await histories(at("model"), live.threadId) };
}

export async function page_tool({ kind, at }) {
  const calls = [];
  const handler = async (args) => {
    calls.push(args);
    return { ok: true };
  };
  const tools = [{ name: "confirm", description: "Ask", handler }];
  const client = await open(kind, at("model"), { tools });
  // An application on AG-UI alone offers its tools, and answers their calls, itself.
  const offered = tools.map(({ name, description }) => ({ name, description, parameters: {} }));
  await client.say("confirm", kind === "core" ? undefined : { tools: offered });
  if (kind !== "core") {
    const [call] = client.agent.messages.at(-1).toolCalls;
    const content = JSON.stringify(await handler(JSON.parse(call.function.arguments)));
    client.agent.addMessage({ id: crypto.randomUUID(), role: "tool", toolCallId: call.id, content });
    await client.run({ tools: offered });
  }
  return seen(client, at, { calls });
}

export async function approval({ kind, at }) {
  const client = await open(kind, at("model"));
  const asked = await client.say("wipe");
  const [{ id }] = client.interrupts;
  await client.run({ resume: [{ interruptId: id, status: "resolved", payload: { approved: true } }] });
  return seen(client, at, { asked });
}

export async function state({ kind, at }) {
  const client = await open(kind, at("model"));
  await client.say("count");
  return seen(client, at);
}

export async function reasoning({ kind, at }) {
  const client = await open(kind, at("model"));
  await client.say("think");
  await client.say("and?");
  return seen(client, at);
}
