// One thread, clients of two protocol versions.

import { histories, open } from "../clients.mjs";

export async function new_forms({ kind, at }) {
  const client = await open(kind, at("usual"));
  await client.say("parts");
  await client.say("cancelled");
  await client.say("text:1");
  const live = client.view();
  return { live, later: await histories(at("usual"), live.threadId) };
}

// A file that only a provider can resolve is a part 0.0.59 does not know.
export async function new_parts({ kind, at }) {
  const client = await open(kind, at("usual"));
  const source = { type: "file", value: "file-1", provider: "cloud" };
  const content = [{ type: "text", text: "text:1" }, { type: "image", source }];
  client.agent.addMessage({ id: "u1", role: "user", content });
  await client.run();
  await client.say("text:2");
  const live = client.view();
  return { live, later: await histories(at("usual"), live.threadId) };
}
new_parts.kinds = ["agui-1"];

// The same conversation carried on by the other version, which sends its messages back.
export async function carried_on({ kind, at }) {
  const client = await open(kind, at("usual"));
  const { threadId } = await client.say("parts");
  const other = await open(kind === "agui-1" ? "core" : "agui-1", at("usual"), { threadId });
  await other.connect();
  await other.say("text:1");
  return { live: other.view(), later: await histories(at("usual"), threadId) };
}
