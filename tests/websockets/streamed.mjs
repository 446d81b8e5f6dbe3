// Run once over the connect socket with connect.js and print each event as it comes, a line each:
//
//   node streamed.mjs ws://127.0.0.1:8000/ws/copilotkit/agent/default/connect/ '{"threadId": ...}'

import WebSocket from "ws";

import { open } from "../../copilotkit_django/static/copilotkit/connect.js";

const [url, input] = process.argv.slice(2);
const socket = open(url, { WebSocket });
for await (const event of socket.run(JSON.parse(input))) console.log(JSON.stringify(event));
process.exit(0);
