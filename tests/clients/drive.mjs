// Play one family of scenarios with the official clients:
//
//   node drive.mjs stop '{"usual": "http://127.0.0.1:8000/api/copilotkit", ...}'
//
// Prints one JSON line, {scenario: {client: {seen, complaints} or {failure, complaints}}}. The
// complaints are what the clients wrote to the console and requests they made to anybody else.

import { AsyncLocalStorage } from "node:async_hooks";

// What visitors of a page run; in development the clients give advice about the page.
process.env.NODE_ENV = "production";

const DEADLINE_MS = 80_000;
const [family, places] = process.argv.slice(2);
const sites = JSON.parse(places);
const playing = new AsyncLocalStorage();
const strays = []; // complaints of nobody in particular

function complain(...parts) {
  const text = parts.map((part) => part?.stack ?? String(part)).join(" ");
  (playing.getStore() ?? strays).push(text);
}

for (const level of ["debug", "error", "info", "log", "warn"]) console[level] = complain;
process.on("uncaughtException", (error) => complain("uncaught:", error));

const originalFetch = globalThis.fetch;
const ours = Object.values(sites);
globalThis.fetch = (resource, init) => {
  const url = String(resource?.url ?? resource);
  if (ours.some((site) => url.startsWith(site))) return originalFetch(resource, init);
  complain(`a request to ${url}`);
  return Promise.reject(new TypeError("fetch failed"));
};

// Imported late: the clients may keep the console and fetch they find.
const { KINDS } = await import("./clients.mjs");
const scenarios = await import(`./scenarios/${family}.mjs`);

// Each scenario is a user of its own, who sees no threads of another.
function site(name, user) {
  return { url: sites[name], headers: { "x-user": user } };
}

async function play(name, scenario, kind) {
  const user = `${name}-${kind}-${crypto.randomUUID()}`;
  const complaints = [];
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("took too long")), DEADLINE_MS);
  });
  try {
    const stage = { kind, at: (name) => site(name, user) };
    const seen = await playing.run(complaints, () => Promise.race([scenario(stage), late]));
    return { seen, complaints };
  } catch (error) {
    return { failure: error.stack, complaints };
  } finally {
    clearTimeout(timer);
  }
}

const results = {};
const plays = Object.entries(scenarios).flatMap(([name, scenario]) =>
  (scenario.kinds ?? KINDS).map(async (kind) => {
    const result = await play(name, scenario, kind);
    results[name] = { ...results[name], [kind]: result };
  }),
);
await Promise.all(plays);
for (const result of Object.values(results).flatMap(Object.values)) result.complaints.push(...strays);
process.stdout.write(`${JSON.stringify(results)}\n`, () => process.exit(0));
