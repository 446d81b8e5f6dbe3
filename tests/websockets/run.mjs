// Run once over the connect socket with connect.js and print the events:
//
//   node run.mjs ws://127.0.0.1:8000/ws/copilotkit/agent/default/connect/ '{"threadId": ...}'

import WebSocket from "ws";

import { open } from "../../copilotkit_django/static/copilotkit/connect.js";

const [url, input] = process.argv.slice(2);
const socket = open(url, { WebSocket });
const events = [];
for await (const event of socket.run(JSON.parse(input))) events.push(event);
socket.close();
process.stdout.write(JSON.stringify(events), () => process.exit(0));
