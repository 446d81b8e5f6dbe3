// What a conversation looks like while it happens, and to whoever opens it later.

import { histories, open } from "../clients.mjs";

function conversation(...scripts) {
  return async ({ kind, at }) => {
    const client = await open(kind, at("usual"));
    for (const script of scripts) await client.say(script);
    const live = client.view();
    return { live, later: await histories(at("usual"), live.threadId) };
  };
}

export const text = conversation("text:3");
export const many_turns = conversation("text:1", "messages:2", "whoami", "text:4");
export const tools = conversation("tools", "text:1");
export const chunks = conversation("chunks");
export const steps = conversation("steps");
export const reasoning = conversation("reasoning", "text:1");
export const activity = conversation("activity", "text:1");
export const custom = conversation("custom");
export const subagent = conversation("subagent");
export const snapshot = conversation("text:1", "snapshot");
export const big = conversation("big:200");
export const characters = conversation("unicode", "halves");
export const state = conversation("state", "statedelta:5");

export async function state_of_the_page({ kind, at }) {
  const client = await open(kind, at("usual"));
  client.agent.setState({ page: { open: [1, null] } });
  await client.say("statedelta:7");
  const live = client.view();
  return { live, later: await histories(at("usual"), live.threadId) };
}

export async function attachment({ kind, at }) {
  const client = await open(kind, at("usual"));
  const value = Buffer.alloc(200 * 1024, "attachment ").toString("base64");
  const source = { type: "data", value, mimeType: "image/png" };
  const image = { type: "image", source, metadata: { filename: "ä.png" } };
  client.agent.addMessage({ id: "u1", role: "user", content: [{ type: "text", text: "measure" }, image] });
  await client.run();
  const live = client.view();
  return { value, live, later: await histories(at("usual"), live.threadId) };
}

// Ids are whatever an application makes them.
export async function odd_thread_id({ kind, at }) {
  const threadId = `a/b c%2F?x=1#ä😀../${crypto.randomUUID()}`;
  const client = await open(kind, at("usual"), { threadId });
  await client.say("text:1");
  await client.sayAndStop("hang:1", (view) => view.messages.at(-1).content === "tok0 " && view.runs.length === 2);
  const live = client.view();
  return { threadId, live, later: await histories(at("usual"), threadId) };
}

export async function unknown_thread({ kind, at }) {
  const client = await open(kind, at("usual"));
  await client.connect();
  return client.view();
}
