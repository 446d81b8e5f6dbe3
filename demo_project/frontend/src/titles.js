// First words of conversations, by thread id, for those the server has no name for.
const KEY = "demo.titles";
const KEPT = 200;

function load() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

let titles = load();

export function rememberTitle(threadId, text) {
  const line = text.trim().replace(/\s+/g, " ");
  if (!line || titles[threadId]) return;
  const words = line[0].toUpperCase() + line.slice(1);
  const title = words.length > 48 ? `${words.slice(0, 47).trimEnd()}…` : words;
  titles = Object.fromEntries([...Object.entries(titles), [threadId, title]].slice(-KEPT));
  try {
    localStorage.setItem(KEY, JSON.stringify(titles));
  } catch {
    // Without storage the title lasts until the next reload.
  }
}

export function titleOf(thread) {
  return thread.name || titles[thread.id] || "New conversation";
}
