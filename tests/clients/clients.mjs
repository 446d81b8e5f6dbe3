// The official clients behind one face: what a scenario does with one it can do with each.
//
//   core    CopilotKitCore, what every CopilotKit user interface is made of; speaks AG-UI 0.0.59
//   agui-0  HttpAgent of AG-UI 0.0.59
//   agui-1  HttpAgent of AG-UI 1.0

import { CopilotKitCore } from "@copilotkit/core";
import * as agui0 from "ag-ui-client-0";
import * as agui1 from "ag-ui-client-1";

export const KINDS = ["core", "agui-0", "agui-1"];
const WAIT_MS = 60_000;

// CopilotKitCore asks for /info only where there is a window.
globalThis.window ??= {};

export function open(kind, site, options = {}) {
  const settings = { threadId: crypto.randomUUID(), agentId: "default", ...options };
  return kind === "core" ? Core.open(site, settings) : new Plain(kind, site, settings);
}

// What a page shows that is opened on a thread, for each client.
export async function histories(site, threadId) {
  const views = KINDS.map(async (kind) => {
    const reader = await open(kind, site, { threadId });
    await reader.connect();
    return [kind, reader.view()];
  });
  return Object.fromEntries(await Promise.all(views));
}

export async function until(holds, what) {
  const deadline = Date.now() + WAIT_MS;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

class Client {
  errors = [];
  customs = [];
  interrupts = [];
  runs = []; // of those that started, with how they ended

  watch(agent) {
    this.agent = agent;
    agent.subscribe({
      onRunStartedEvent: ({ event }) => {
        this.runs.push({ runId: event.runId, protocolVersion: event.protocolVersion, end: null });
      },
      onRunFinishedEvent: ({ event, interrupts }) => {
        this.runs.at(-1).end = event.type;
        this.interrupts = interrupts ?? [];
      },
      onRunErrorEvent: ({ event }) => {
        // One about a run that never started has nothing before it.
        if (this.runs.at(-1)?.end !== null) this.runs.push({ runId: null, end: null });
        Object.assign(this.runs.at(-1), { end: event.type, code: event.code });
        this.onRunError(event);
      },
      onCustomEvent: ({ event }) => void this.customs.push({ name: event.name, value: event.value }),
      onRunFailed: ({ error }) => this.onRunFailed(error),
    });
  }

  onRunError() {}

  onRunFailed() {}

  // Type a message and wait until the client has nothing more to do about it.
  async say(content, parameters) {
    this.agent.addMessage({ id: crypto.randomUUID(), role: "user", content });
    await this.run(parameters);
    return this.view();
  }

  async sayAndStop(content, opened) {
    const running = this.say(content);
    await until(() => opened(this.view()), `${content} to get that far`);
    await this.stop();
    await running;
    return this.view();
  }

  view() {
    const { messages, state } = structuredClone({ messages: this.agent.messages, state: this.agent.state });
    const { errors, customs, interrupts, runs } = structuredClone(this.record());
    return { threadId: this.agent.threadId, messages, state, errors, customs, interrupts, runs };
  }

  record() {
    const { errors, customs, interrupts, runs } = this;
    return { errors, customs, interrupts, runs };
  }
}

class Core extends Client {
  static async open(site, { threadId, agentId, transport = "rest", tools = [], ...config }) {
    const client = new Core();
    client.core = new CopilotKitCore({
      runtimeUrl: site.url,
      runtimeTransport: transport,
      headers: site.headers,
      tools,
      ...config,
    });
    client.core.subscribe({
      onError: ({ code, error, context }) => {
        client.errors.push({ code, message: error.message, runtimeCode: context.runtimeErrorCode });
      },
    });
    const settled = ["connected", "error"];
    await until(() => settled.includes(client.status), "the answer to /info");
    if (client.status === "connected") {
      client.watch(client.core.getAgent(agentId));
      client.agent.threadId = threadId;
    }
    return client;
  }

  get status() {
    return this.core.runtimeConnectionStatus;
  }

  run(parameters) {
    return this.core.runAgent({ agent: this.agent, ...parameters });
  }

  connect() {
    return this.core.connectAgent({ agent: this.agent });
  }

  stop() {
    this.core.stopAgent({ agent: this.agent });
  }
}

class Plain extends Client {
  constructor(kind, site, { threadId, agentId }) {
    super();
    const { HttpAgent, runHttpRequest, transformHttpEventStream } = kind === "agui-0" ? agui0 : agui1;
    const base = `${site.url}/agent/${agentId}`;

    class Agent extends HttpAgent {
      connect(input) {
        const request = () => this.fetch(`${base}/connect`, this.requestInit(input));
        return transformHttpEventStream(runHttpRequest(request));
      }
    }

    this.base = base;
    this.headers = site.headers;
    this.watch(new Agent({ url: `${base}/run`, headers: site.headers, threadId, agentId }));
  }

  onRunError({ code, message }) {
    this.errors.push({ code: "run_error", message, runtimeCode: code });
  }

  onRunFailed({ message }) {
    this.errors.push({ code: "run_failed", message });
  }

  async run(parameters) {
    // A run that fails has been told to onRunFailed already.
    await this.agent.runAgent(parameters).catch(() => {});
  }

  async connect() {
    await this.agent.connectAgent().catch(() => {});
  }

  // Aborting an HttpAgent only closes the connection: an application stops the run itself.
  async stop() {
    const path = `${this.base}/stop/${encodeURIComponent(this.agent.threadId)}`;
    await fetch(path, { method: "POST", headers: this.headers });
  }

  leave() {
    this.agent.abortRun();
  }
}
