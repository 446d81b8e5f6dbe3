// Everything that went wrong and has not been dismissed yet.
import { useSyncExternalStore } from "react";

const listeners = new Set();
let errors = [];
let count = 0;

function publish(next) {
  errors = next;
  for (const listener of listeners) listener();
}

// What browsers say instead of a sentence.
const plainly = {
  "network error": "The connection broke off. What has arrived is kept; say it again to go on.",
  "Failed to fetch": "No answer came. Is it running?",
};

/** The sentence inside what the client reports: "HTTP 401: {"error": …}". */
function sentence(message) {
  const [, status, body] = /^HTTP (\d+): (.*)$/s.exec(message) ?? [];
  if (!status) return plainly[message] ?? message;
  try {
    const { message: said, error } = JSON.parse(body);
    return `${said ?? error} (HTTP ${status})`;
  } catch {
    return `The server answered with HTTP ${status}.`;
  }
}

/** For the client's `onError`. A failed run is reported twice; it is shown once. */
export function reportError({ error, code }) {
  const text = sentence(error?.message || "Something went wrong.");
  if (errors.some((known) => known.text === text)) return;
  publish([...errors.slice(-3), { id: ++count, text, fatal: code === "runtime_info_fetch_failed" }]);
}

export function dismissError(id) {
  publish(errors.filter((error) => error.id !== id));
}

/** A conversation that goes on has left its errors behind. */
export function clearErrors() {
  if (errors.length) publish([]);
}

export function useErrors() {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => errors,
  );
}
