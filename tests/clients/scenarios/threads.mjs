// The thread list of CopilotKitCore.

import { ɵcreateThreadStore as createThreadStore } from "@copilotkit/core";

import { open, until } from "../clients.mjs";

const NAMES = { first: "t-1", second: "t-2", third: "t-3" };

class List {
  constructor(client, { headers }, context) {
    this.failures = [];
    this.store = createThreadStore({
      fetch: client.core.ɵruntimeFetch,
      onError: (error) => this.failures.push(error.message),
    });
    this.store.start();
    const runtimeUrl = client.core.runtimeUrl;
    this.store.setContext({ runtimeUrl, headers, agentId: "default", ...context });
  }

  static async open(...settings) {
    const list = new List(...settings);
    await list.settled();
    return list;
  }

  settled() {
    return until(() => {
      const { isLoading, isFetchingNextPage, inFlightMutationCount } = this.store.getState();
      return !isLoading && !isFetchingNextPage && inFlightMutationCount === 0;
    }, "the thread list");
  }

  // As it is shown, and as the server has it.
  async rows() {
    const shown = this.shown();
    this.store.refresh();
    await this.settled();
    return { shown, stored: this.shown() };
  }

  shown() {
    return this.store.getState().threads.map(({ id, name, archived }) => ({ id, name, archived }));
  }

  async nextPage() {
    this.store.fetchNextPage();
    await this.settled();
    return this.shown();
  }

  get state() {
    const { error, fetchMoreError, nextCursor, threads } = this.store.getState();
    const messages = [error, fetchMoreError].map((each) => each?.message ?? null);
    return { errors: [...messages, ...this.failures], more: nextCursor !== null, threads };
  }
}

// Thread ids of a user need not differ from those of another.
async function conversations(site, transport) {
  for (const threadId of Object.values(NAMES)) {
    const client = await open("core", site, { threadId, transport });
    await client.say("text:1");
  }
  const client = await open("core", site, { agentId: "other", threadId: "t-other", transport });
  await client.say("text:1");
  return client;
}

async function managed({ at }, transport) {
  const client = await conversations(at("usual"), transport);
  const list = await List.open(client, at("usual"), { includeArchived: true });
  const [first, second, third] = Object.values(NAMES);
  const listed = await list.rows();
  await list.store.renameThread(first, "Named ☕");
  const renamed = await list.rows();
  await list.store.archiveThread(second);
  const archived = await list.rows();
  const unarchived = (await List.open(client, at("usual"))).shown();
  await list.store.unarchiveThread(second);
  const restored = await list.rows();
  await list.store.deleteThread(third);
  const deleted = await list.rows();
  const reader = await open("core", at("usual"), { threadId: third, transport });
  await reader.connect();
  const gone = reader.view();
  return { listed, renamed, archived, unarchived, restored, deleted, gone, state: list.state };
}

export const rest = (stage) => managed(stage, "rest");
export const single = (stage) => managed(stage, "single");

async function paged({ at }, transport) {
  const client = await conversations(at("usual"), transport);
  const list = await List.open(client, at("usual"), { limit: 2 });
  const first = { shown: list.shown(), ...list.state };
  const shown = await list.nextPage();
  return { first, second: { shown, ...list.state } };
}

export const pages_rest = (stage) => paged(stage, "rest");
export const pages_single = (stage) => paged(stage, "single");

export async function odd_ids({ at }) {
  const threadId = "a/b c%2F?x=1#ä😀..";
  const client = await open("core", at("usual"), { threadId });
  await client.say("text:1");
  const list = await List.open(client, at("usual"));
  await list.store.renameThread(threadId, "odd");
  const renamed = await list.rows();
  await list.store.deleteThread(threadId);
  return { threadId, renamed, deleted: await list.rows(), state: list.state };
}

// A change that the server refuses: a thread somebody deleted meanwhile.
export async function deleted_meanwhile({ at }) {
  const client = await conversations(at("usual"), "rest");
  const [list, other] = [await List.open(client, at("usual")), await List.open(client, at("usual"))];
  await other.store.deleteThread(NAMES.first);
  const rename = list.store.renameThread(NAMES.first, "Gone").then(
    () => "accepted",
    (error) => error.message,
  );
  return { rename: await rename, rows: await list.rows() };
}

const ofCore = { rest, single, pages_rest, pages_single, odd_ids, deleted_meanwhile };
for (const scenario of Object.values(ofCore)) scenario.kinds = ["core"];
