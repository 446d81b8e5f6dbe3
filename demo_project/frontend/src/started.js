// Conversations that began here and are not in the server's list yet: it lists what has finished.
import { useEffect, useSyncExternalStore } from "react";

const PATIENCE = 3 * 60_000;
const INTERVAL = 2500;
const listeners = new Set();
let started = [];

function publish(next) {
  started = next;
  for (const listener of listeners) listener();
}

export function noteStarted(id, agentId) {
  if (started.some((thread) => thread.id === id)) return;
  publish([{ id, agentId, name: null, createdAt: new Date().toISOString() }, ...started]);
}

export function forgetStarted(gone) {
  if (started.some(gone)) publish(started.filter((thread) => !gone(thread)));
}

/** The rows of `threads` preceded by what is still missing there; with `refetch` asks until it arrives. */
export function useWithStarted(threads, agentId, refetch) {
  const all = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => started,
  );
  const listed = new Set(threads.map((thread) => thread.id));
  const missing = all.filter((thread) => thread.agentId === agentId && !listed.has(thread.id));

  useEffect(() => {
    forgetStarted(
      ({ id, createdAt }) => listed.has(id) || Date.now() - Date.parse(createdAt) > PATIENCE,
    );
  });
  const waiting = missing.length > 0;
  useEffect(() => {
    if (!waiting || !refetch) return undefined;
    const timer = setInterval(refetch, INTERVAL);
    return () => clearInterval(timer);
  }, [waiting, refetch]);

  return [...missing, ...threads];
}
