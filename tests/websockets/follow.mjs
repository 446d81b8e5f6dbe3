// Follow a thread with connect.js again and again over one socket, and print how often it ended:
//
//   node follow.mjs ws://127.0.0.1:8000/ws/copilotkit/agent/default/connect/ alice t1 30 whole
//
// With "left" instead of "whole" each is left at its first event.

import WebSocket from "ws";

import { open } from "../../copilotkit_django/static/copilotkit/connect.js";

const [url, user, thread, times, how] = process.argv.slice(2);
class Named extends WebSocket {
  constructor(url) {
    super(url, { headers: { "x-user": user } });
  }
}
const socket = open(url, { WebSocket: Named });
let ended = 0;
for (; ended < Number(times); ended++) {
  for await (const _ of socket.connect(thread)) if (how === "left") break;
}
socket.close();
process.stdout.write(String(ended), () => process.exit(0));
