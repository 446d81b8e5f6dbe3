// What the official clients make of threads: node replay.mjs URL THREAD...
//
// Prints one JSON line, {thread: {client: view}}; ends with an error where a client complains.

process.env.NODE_ENV = "production";
const { histories } = await import("../clients/clients.mjs");
const [url, ...threads] = process.argv.slice(2);
const views = {};
for (const thread of threads) views[thread] = await histories({ url, headers: {} }, thread);
process.stdout.write(`${JSON.stringify(views)}\n`, () => process.exit(0));
