// More than one client on a thread. Where threads are in a database, who comes second is served
// by another process, "next_door".

import { histories, KINDS, open, until } from "../clients.mjs";

const shows = (client, text) => client.agent.messages.at(-1)?.content?.includes(text);

// A run of the script "gated" goes on.
async function release(site) {
  const client = await open("agui-1", site);
  await client.say("release");
}

function join(site, threadId) {
  return Promise.all(KINDS.map((kind) => open(kind, site, { threadId })));
}

function byKind(readers) {
  return Object.fromEntries(readers.map((reader, i) => [KINDS[i], reader.view()]));
}

export async function joined_in_mid_run({ kind, at }) {
  const first = await open(kind, at("usual"));
  await first.say("text:1");
  const { threadId } = first.agent;
  const running = first.say("gated");
  await until(() => shows(first, "before"), "the run to be under way");
  const readers = await join(at("next_door"), threadId);
  const connected = readers.map((reader) => reader.connect());
  await until(() => readers.every((reader) => shows(reader, "before")), "the run to be joined");
  await release(at("usual"));
  await Promise.all([running, ...connected]);
  return { live: first.view(), later: byKind(readers) };
}

export async function joined_with_everything_open({ kind, at }) {
  const first = await open(kind, at("usual"));
  const { threadId } = first.agent;
  const opened = (client) => client.agent.messages.at(-1)?.toolCalls?.[0].function.arguments.endsWith(":");
  const running = first.say("hangeverything");
  await until(() => opened(first), "the run to be under way");
  const readers = await join(at("next_door"), threadId);
  const connected = readers.map((reader) => reader.connect());
  await until(() => readers.every(opened), "the run to be joined");
  await first.stop();
  await Promise.all([running, ...connected]);
  return { live: first.view(), later: byKind(readers) };
}

// A second run while one is live.
async function second_run(kind, site, other = site) {
  const first = await open(kind, site);
  const { threadId } = first.agent;
  const second = await open(kind, other, { threadId });
  const running = first.say("hang:2");
  await until(() => shows(first, "tok1 "), "the run to be under way");
  await second.say("whoami");
  const during = second.view();
  await first.stop();
  await running;
  await second.say("text:1");
  return { during, first: first.view(), live: second.view(), later: await histories(site, threadId) };
}

export const busy = ({ kind, at }) => second_run(kind, at("usual"), at("next_door"));
export const superseded = ({ kind, at }) => second_run(kind, at("superseding"));

export async function stopped_by_another({ kind, at }) {
  const first = await open(kind, at("usual"));
  const { threadId } = first.agent;
  const running = first.say("hang:3");
  await until(() => shows(first, "tok2 "), "the run to be under way");
  const second = await open(kind, at("next_door"), { threadId });
  const connected = second.connect();
  await until(() => shows(second, "tok2 "), "the run to be joined");
  await second.stop();
  await Promise.all([running, connected]);
  return { live: first.view(), joined: second.view(), later: await histories(at("usual"), threadId) };
}

// A closed tab does not stop the run.
export async function left({ kind, at }) {
  const client = await open(kind, at("usual"));
  const { threadId } = client.agent;
  const running = client.say("gated");
  await until(() => shows(client, "before"), "the run to be under way");
  client.leave();
  await running;
  await release(at("usual"));
  return { live: client.view(), later: await histories(at("next_door"), threadId) };
}
left.kinds = ["agui-0", "agui-1"];

export async function not_yours({ kind, at }) {
  const owner = await open(kind, at("usual"));
  const { threadId } = await owner.say("text:1");
  const stranger = await open(kind, { ...at("usual"), headers: { "x-user": crypto.randomUUID() } }, { threadId });
  await stranger.connect();
  const seen = stranger.view();
  await stranger.say("whoami");
  return { seen, live: stranger.view(), later: await histories(at("usual"), threadId) };
}

// React mounts twice: the first of two connects is broken off at once.
export async function broken_off({ kind, at }) {
  const first = await open(kind, at("usual"));
  const { threadId } = await first.say("text:200");
  const reader = await open(kind, at("usual"), { threadId });
  const broken = reader.connect();
  await reader.agent.detachActiveRun();
  await broken;
  reader.agent.setMessages([]);
  await reader.connect();
  return { live: first.view(), joined: reader.view() };
}

// The user looks at another thread and comes back while the answer is being written.
export async function switched({ at }) {
  const client = await open("core", at("usual"));
  const { threadId } = client.agent;
  const running = client.say("gated");
  await until(() => shows(client, "before"), "the run to be under way");
  client.agent.threadId = crypto.randomUUID();
  await client.connect();
  const elsewhere = client.view();
  client.agent.threadId = threadId;
  const connected = client.connect();
  await until(() => shows(client, "before"), "the run to be joined");
  await release(at("usual"));
  await Promise.all([running, connected]);
  return { elsewhere, live: client.view(), later: await histories(at("usual"), threadId) };
}
switched.kinds = ["core"];
