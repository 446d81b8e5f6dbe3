// Runs before the first paint, so that a chosen look does not flash in late.
(() => {
  const page = document.documentElement;
  let look = {};
  try {
    look = JSON.parse(localStorage.getItem("demo.look")) || {};
  } catch {
    // No storage, or something else in it: the defaults will do.
  }
  const dark =
    look.mode === "dark" ||
    (look.mode !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  page.classList.toggle("dark", dark);
  page.dataset.accent = look.accent || "teal";
})();
