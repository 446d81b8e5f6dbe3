// What the published `phoenix` client makes of the socket of live thread lists:
//
//   node phoenix.mjs ws://127.0.0.1:8000/ws/copilotkit/realtime token topic [heartbeats]
//
// Prints a JSON line for each thing that happens; `drop` on its input breaks the connection, `leave`
// leaves the topic, `end` ends the program.

import { createInterface } from "node:readline";

import { Socket } from "phoenix";
import WebSocket from "ws";

const [url, token, topic, heartbeatIntervalMs = "30000"] = process.argv.slice(2);
const say = (...what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const socket = new Socket(url, {
  params: { join_token: token },
  transport: WebSocket,
  heartbeatIntervalMs: Number(heartbeatIntervalMs),
  reconnectAfterMs: () => 50,
  rejoinAfterMs: () => 50,
});
socket.onOpen(() => say("open"));
socket.onError((error) => say("error", String(error?.message ?? error)));
socket.onMessage(({ topic, payload }) => topic === "phoenix" && say("heartbeat", payload.status));
socket.onClose(({ code }) => say("close", code));
socket.connect();

const channel = socket.channel(topic);
channel.on("thread_metadata", (payload) => say("thread_metadata", payload));
channel.on("thread_run_activity", (payload) => say("thread_run_activity", payload));
channel.onClose(() => say("left"));
channel
  .join()
  .receive("ok", (response) => say("joined", response))
  .receive("error", (response) => say("refused", response))
  .receive("timeout", () => say("timeout"));

createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "drop") socket.conn.terminate();
  if (line === "leave") channel.leave();
  if (line === "end") process.exit(0);
});
