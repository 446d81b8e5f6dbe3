// Tools that the page runs itself.

import { histories, open } from "../clients.mjs";

export async function answered({ kind, at }) {
  const calls = [];
  const handler = async (args, { toolCall }) => {
    calls.push({ args, id: toolCall.id });
    return { ok: true };
  };
  const tools = [{ name: "confirm", description: "Ask", handler }];
  const client = await open(kind, at("usual"), { tools });
  await client.say("confirm");
  if (kind !== "core") await answer(client, calls);
  const live = client.view();
  return { calls, live, later: await histories(at("usual"), live.threadId) };
}

// What CopilotKitCore does, and an application on AG-UI alone does itself.
async function answer(client, calls) {
  const [call] = client.agent.messages.at(-1).toolCalls;
  calls.push({ args: JSON.parse(call.function.arguments), id: call.id });
  const content = JSON.stringify({ ok: true });
  client.agent.addMessage({ id: crypto.randomUUID(), role: "tool", toolCallId: call.id, content });
  await client.run();
}

export async function handler_fails({ kind, at }) {
  const handler = async () => {
    throw new Error("the page is broken");
  };
  const tools = [{ name: "confirm", description: "Ask", handler }];
  const client = await open(kind, at("usual"), { tools });
  await client.say("confirm");
  await client.say("text:1");
  const live = client.view();
  return { live, later: await histories(at("usual"), live.threadId) };
}
handler_fails.kinds = ["core"];

export async function opened_later({ kind, at }) {
  const client = await open(kind, at("usual"));
  const { threadId } = await client.say("confirm");
  const calls = [];
  const tools = [{ name: "confirm", description: "Ask", handler: async (args) => calls.push(args) }];
  const reader = await open("core", at("usual"), { threadId, tools });
  await reader.connect();
  return { calls, live: client.view(), later: reader.view() };
}
