// Everything that went wrong and has not been dismissed yet.
import { useSyncExternalStore } from "react";

const listeners = new Set();
let errors = [];
let count = 0;

function publish(next) {
  errors = next;
  for (const listener of listeners) listener();
}

/** The sentence inside what the client reports: "HTTP 401: {"error": …}". */
function sentence(message) {
  const [, status, body] = /^HTTP (\d+): (.*)$/s.exec(message) ?? [];
  if (!status) return message;
  try {
    const { message: said, error } = JSON.parse(body);
    return `${said ?? error} (HTTP ${status})`;
  } catch {
    return `The server answered with HTTP ${status}.`;
  }
}

/** For the provider's `onError`. A failed run is reported twice; it is shown once. */
export function reportError({ error, code }) {
  const text = sentence(error?.message || "Something went wrong.");
  if (errors.some((known) => known.text === text)) return;
  publish([...errors.slice(-3), { id: ++count, text, fatal: code === "runtime_info_fetch_failed" }]);
}

export function dismissError(id) {
  publish(errors.filter((error) => error.id !== id));
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
