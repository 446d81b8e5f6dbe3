// How the page looks: light or dark, and one accent colour. Kept per browser.
import { useSyncExternalStore } from "react";

export const ACCENTS = [
  "teal",
  "green",
  "blue",
  "indigo",
  "violet",
  "pink",
  "red",
  "orange",
  "amber",
  "graphite",
];
const MODES = ["light", "dark", "system"];
const KEY = "demo.look";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

let look = { mode: "system", accent: "teal", ...stored() };
apply();
systemIsDark.addEventListener("change", () => change({}));

function stored() {
  try {
    const { mode, accent } = JSON.parse(localStorage.getItem(KEY)) ?? {};
    return {
      ...(MODES.includes(mode) && { mode }),
      ...(ACCENTS.includes(accent) && { accent }),
    };
  } catch {
    return {};
  }
}

function apply() {
  const page = document.documentElement;
  page.classList.toggle("dark", isDark());
  page.dataset.accent = look.accent;
}

function isDark() {
  return look.mode === "dark" || (look.mode === "system" && systemIsDark.matches);
}

function change(wish) {
  look = { ...look, ...wish };
  try {
    localStorage.setItem(KEY, JSON.stringify(look));
  } catch {
    // Private windows may refuse; the look then lasts until the next reload.
  }
  apply();
  for (const listener of listeners) listener();
}

export function setMode(mode) {
  if (!MODES.includes(mode)) throw new Error(`"${mode}" is not one of ${MODES.join(", ")}.`);
  change({ mode });
}

export function setAccent(accent) {
  if (!ACCENTS.includes(accent)) throw new Error(`"${accent}" is not one of ${ACCENTS.join(", ")}.`);
  change({ accent });
}

export function useLook() {
  const { mode, accent } = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => look,
  );
  return { mode, accent, dark: isDark() };
}
