import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// KaTeX offers each font three times. Every browser that runs this page reads the smallest.
const onlyWoff2 = {
  name: "only-woff2",
  enforce: "pre",
  transform(code, id) {
    if (!/katex[^?]*\.css/.test(id)) return null;
    return code.replace(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\([^)]*\)/g, "");
  },
};

export default defineConfig({
  base: "./",
  plugins: [onlyWoff2, react()],
  resolve: {
    alias: [
      // Diagrams and the developer inspector would triple the size of the bundle.
      { find: /^mermaid$/, replacement: here("src/absent.js") },
      { find: /^@copilotkit\/web-inspector$/, replacement: here("src/absent.js") },
      { find: /^shiki$/, replacement: here("src/shiki.js") },
    ],
  },
  build: {
    outDir: here("../static/demo"),
    emptyOutDir: true,
    cssCodeSplit: false,
    modulePreload: false,
    chunkSizeWarningLimit: 4000,
    license: { fileName: "THIRD-PARTY-LICENSES.md" },
    rolldownOptions: {
      input: here("src/main.jsx"),
      output: {
        codeSplitting: false,
        entryFileNames: "app.js",
        assetFileNames: ({ names }) =>
          names[0]?.endsWith(".css") ? "app.css" : "fonts/[name][extname]",
      },
    },
  },
});
