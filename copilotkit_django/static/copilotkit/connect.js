/**
 * A client of the connect socket of copilotkit_django, without dependencies.
 *
 *   import { open } from "/static/copilotkit/connect.js";
 *
 *   const socket = open("/ws/copilotkit/agent/default/connect/");
 *   for await (const event of socket.run(input)) { ... }
 *
 * It comes back by itself when the connection breaks and goes on where it was: each event is given
 * once. After a very long break a `CUSTOM` event named `copilotkit.reset` says that what follows
 * begins the run anew. Events are acknowledged as they are taken, so that the server goes at the
 * pace of whoever takes them.
 */

/** Close codes after which coming back is of no use. */
const FINAL = new Set([1009, 4400, 4403, 4404]);
const UNAUTHENTICATED = 4401;

const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 15_000;
const PING_EVERY = 25_000;
const PONG_WITHIN = 10_000;
/** So much is taken before it is acknowledged together: far less than the server sends ahead. */
const ACK_FRAMES = 16;
const ACK_CHARACTERS = 64 * 1024;

/** A command was refused, or the socket is closed for good. */
export class ConnectError extends Error {
  /** @param {string} message @param {{status?: number, code?: number, body?: any}} [about] */
  constructor(message, { status, code, body } = {}) {
    super(message);
    this.name = "ConnectError";
    /** The HTTP status a command was refused with. */
    this.status = status;
    /** The code the socket was closed with. */
    this.code = code;
    /** What was answered, as JSON. */
    this.body = body;
  }
}

/**
 * Open a socket; returns at once.
 *
 * @param {string} url path, or `ws:` or `wss:` URL, of an agent's connect socket
 * @param {object} [options]
 * @param {() => Promise<string>} [options.ticket] asks for a ticket, before each connection
 * @param {(open: boolean) => void} [options.onState] told when the connection comes and goes
 * @param {typeof WebSocket} [options.WebSocket] another implementation
 */
export function open(url, options = {}) {
  return new ConnectSocket(url, options);
}

export class ConnectSocket {
  #url;
  #options;
  #socket = null;
  /** It has been let in. */
  #ready = false;
  #closed = null;
  #attempts = 0;
  #refused = 0;
  #nextId = 0;
  /** Commands that have not ended, by id. */
  #commands = new Map();
  #timers = { retry: null, ping: null, pong: null };
  /**
   * What was taken and not acknowledged yet, of all commands: what each has left over may together
   * be all that the server sends ahead.
   */
  #untold = { frames: 0, characters: 0, last: 0 };

  constructor(url, options) {
    this.#url = url;
    this.#options = options;
    this.#connect();
  }

  /** Start a run; `input` is a RunAgentInput. The events of the run, to be taken one by one. */
  run(input) {
    return this.#follow({ type: "run", input }, { threadId: input.threadId, runs: true });
  }

  /** A thread's history and its live run; with `after` what came behind that cursor. */
  connect(threadId, { after } = {}) {
    return this.#follow({ type: "connect", threadId }, { threadId, cursor: after });
  }

  /** Stop the live run of a thread, or only the one named. What the server answers. */
  stop(threadId, runId) {
    return new Promise((resolve, reject) => {
      const message = { type: "stop", threadId, ...(runId === undefined ? {} : { runId }) };
      this.#add({
        start: (id) => ({ ...message, id }),
        result: resolve,
        fail: reject,
      });
    });
  }

  /** Close the socket for good. Runs go on. */
  close() {
    this.#end(new ConnectError("The socket was closed.", { code: 1000 }), 1000);
  }

  #follow(message, about) {
    const following = new Following(this, message, about);
    this.#add(following);
    return following;
  }

  #add(command) {
    if (this.#closed) {
      command.fail(this.#closed);
      return;
    }
    command.id = String(++this.#nextId);
    this.#commands.set(command.id, command);
    if (this.#ready) this.#send(command.start(command.id));
  }

  /** @package */
  _taken({ socket, number, size }) {
    // A frame of an earlier connection is acknowledged by resuming behind it.
    if (!this.#ready || socket !== this.#socket) return;
    const untold = this.#untold;
    untold.last = Math.max(untold.last, number);
    untold.characters += size;
    if (++untold.frames >= ACK_FRAMES || untold.characters >= ACK_CHARACTERS) {
      untold.frames = untold.characters = 0;
      this.#send({ type: "ack", frame: untold.last });
    }
  }

  /** @package */
  _leave(command) {
    if (this.#commands.delete(command.id) && this.#ready) {
      this.#send({ type: "leave", id: command.id });
    }
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  async #connect() {
    const { ticket, WebSocket: Implementation = globalThis.WebSocket } = this.#options;
    let url = absolute(this.#url);
    if (ticket) {
      try {
        url += `${url.includes("?") ? "&" : "?"}ticket=${encodeURIComponent(await ticket())}`;
      } catch {
        this.#retry();
        return;
      }
    }
    if (this.#closed) return;
    const socket = (this.#socket = new Implementation(url));
    socket.onmessage = ({ data }) => socket === this.#socket && this.#hear(JSON.parse(data), data.length);
    socket.onclose = ({ code }) => socket === this.#socket && this.#lost(code);
    socket.onerror = () => {};
  }

  #hear(message, size) {
    clearTimeout(this.#timers.pong);
    this.#timers.pong = null;
    const command = this.#commands.get(message.id);
    if (message.type === "ready") {
      this.#begin();
    } else if (message.type === "events") {
      if (command) command.take(message, this.#socket, size);
      else this._taken({ socket: this.#socket, number: message.frame, size });
    } else if (command && message.type === "end") {
      this.#commands.delete(message.id);
      command.end();
    } else if (command && message.type === "result") {
      this.#commands.delete(message.id);
      command.result(message.body);
    } else if (command && message.type === "error") {
      // With a ticket of its own the next connection may do what this one may not any more.
      if (message.status === 401 && this.#options.ticket) return;
      this.#commands.delete(message.id);
      const { status, body } = message;
      command.fail(new ConnectError(body?.message ?? body?.error ?? "refused", { status, body }));
    }
  }

  #begin() {
    this.#ready = true;
    this.#attempts = this.#refused = 0;
    this.#untold = { frames: 0, characters: 0, last: 0 };
    this.#options.onState?.(true);
    for (const [id, command] of [...this.#commands]) {
      const message = command.start(id);
      if (message) this.#send(message);
      else this.#commands.delete(id);
    }
    this.#timers.ping = setInterval(() => {
      this.#send({ type: "ping" });
      this.#timers.pong ??= setTimeout(() => this.#abandon(), PONG_WITHIN);
    }, PING_EVERY);
  }

  /** The server does not answer: a broken line may take minutes to be noticed otherwise. */
  #abandon() {
    const socket = this.#socket;
    this.#lost(1006);
    socket.close();
  }

  #lost(code) {
    if (this.#closed) return;
    const wasReady = this.#ready;
    this.#ready = false;
    this.#socket = null;
    this.#stopTimers();
    if (wasReady) this.#options.onState?.(false);
    const refused = code === UNAUTHENTICATED && (!this.#options.ticket || ++this.#refused > 2);
    if (refused || FINAL.has(code)) {
      this.#end(new ConnectError(`The socket was closed with ${code}.`, { code }), null);
    } else {
      this.#retry();
    }
  }

  #retry() {
    const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#attempts++);
    // Half of it is chance, so that clients of a server that was restarted do not come all at once.
    const pause = longest * (0.5 + Math.random() / 2);
    this.#timers.retry = setTimeout(() => this.#connect(), pause);
  }

  #stopTimers() {
    clearTimeout(this.#timers.retry);
    clearInterval(this.#timers.ping);
    clearTimeout(this.#timers.pong);
    this.#timers = { retry: null, ping: null, pong: null };
  }

  #end(error, code) {
    if (this.#closed) return;
    this.#closed = error;
    this.#ready = false;
    this.#stopTimers();
    if (code !== null) this.#socket?.close(code);
    const commands = [...this.#commands.values()];
    this.#commands.clear();
    for (const command of commands) command.fail(error);
  }
}

/** The events of a run or a thread: an async iterable. */
export class Following {
  #socket;
  #message;
  #runs;
  #threadId;
  /** Frames that were not taken yet. */
  #frames = [];
  /** The cursor of the last frame that came, taken or not. */
  #received;
  #error = null;
  #over = false;
  #wake = null;
  /** The run this follows has told its end. */
  #finished = false;
  /** It is followed as its thread, since a connection broke. */
  #resumed = false;

  constructor(socket, message, { threadId, cursor, runs = false }) {
    this.#socket = socket;
    this.#message = message;
    this.#threadId = threadId;
    this.#runs = runs;
    this.#received = cursor;
    /** The cursor of the last events that were taken: what `connect` goes on from. */
    this.cursor = cursor;
  }

  /** Hear no more of it; the run goes on. */
  leave() {
    if (!this.#over) this.#socket._leave(this);
    this.end();
    // The server waits for what nobody is going to take, too.
    for (const frame of this.#frames.splice(0)) this.#socket._taken(frame);
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        while (this.#frames.length) {
          const frame = this.#frames.shift();
          try {
            yield* frame.events;
          } finally {
            this.#socket._taken(frame);
          }
          this.cursor = frame.cursor ?? this.cursor;
        }
        if (this.#error) throw this.#error;
        if (this.#over) return;
        await new Promise((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.leave();
    }
  }

  /** What to send on a new connection; nothing if there is nothing more to come. */
  start(id) {
    if (this.#finished) {
      this.end();
      return null;
    }
    if (this.#received === undefined) return { ...this.#message, id };
    this.#resumed = true;
    return { type: "connect", id, threadId: this.#threadId, after: this.#received };
  }

  take({ frame, cursor, events }, socket, size) {
    this.#received = cursor ?? this.#received;
    let mine = events;
    if (this.#runs) {
      const last = events.findIndex(({ type }) => type === "RUN_FINISHED" || type === "RUN_ERROR");
      this.#finished = last >= 0;
      if (this.#resumed && this.#finished) mine = events.slice(0, last + 1);
    }
    this.#frames.push({ number: frame, cursor, events: mine, socket, size });
    if (this.#resumed && this.#finished) {
      // Its thread may have gone on without us, and does not end before its last run does.
      this.#socket._leave(this);
      this.#over = true;
    }
    this.#call();
  }

  end() {
    this.#over = true;
    this.#call();
  }

  fail(error) {
    this.#error = error;
    this.#over = true;
    this.#call();
  }

  #call() {
    this.#wake?.();
    this.#wake = null;
  }
}

function absolute(url) {
  if (!url.startsWith("/") || typeof location === "undefined") return url;
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${url}`;
}
