import { useAgentContext, useFrontendTool, useRenderTool } from "@copilotkit/react-core/v2";
import { z } from "zod";
import { Check, Close, Palette, Wrench } from "./icons.jsx";
import { ACCENTS, setAccent, setMode, useLook } from "./look.js";

/** What agents may know about this page and do to it. */
export function usePageTools() {
  const { mode, accent, dark } = useLook();
  useAgentContext({
    description: "Time zone of the person",
    value: Intl.DateTimeFormat().resolvedOptions().timeZone,
  });
  useAgentContext({ description: "Look of the page", value: { mode, accent, dark } });

  useFrontendTool({
    name: "setAccent",
    description: "Change the accent colour of the page.",
    parameters: z.object({ color: z.enum(ACCENTS) }),
    handler: async ({ color }) => {
      setAccent(color);
      return { accent: color };
    },
    render: ({ args }) => <Changed what="Accent" value={args.color} swatch={args.color} />,
  });
  useFrontendTool({
    name: "setTheme",
    description: "Switch the page to light or dark, or let the system decide.",
    parameters: z.object({ mode: z.enum(["light", "dark", "system"]) }),
    handler: async ({ mode: wish }) => {
      setMode(wish);
      return { mode: wish };
    },
    render: ({ args }) => <Changed what="Theme" value={args.mode} />,
  });
  // Tools of the server, which the page only hears of.
  useRenderTool({ name: "*", render: Called });
}

function Called({ name, result }) {
  const { error } = parsed(result);
  const Icon = result === undefined ? Wrench : error ? Close : Check;
  return (
    <p className="chip called" title={error}>
      <Icon size={14} />
      <code>{name}</code>
    </p>
  );
}

function parsed(result) {
  try {
    return JSON.parse(result) ?? {};
  } catch {
    return {};
  }
}

function Changed({ what, value, swatch }) {
  return (
    <p className="chip">
      {swatch ? <span className="swatch" data-accent={swatch} /> : <Palette size={15} />}
      {what} {value && <strong>{value}</strong>}
    </p>
  );
}
