import { randomUUID, useCopilotKit } from "@copilotkit/react-core/v2";
import { useCallback } from "react";

/** Say something in the person's name, as if it had been typed. */
export function useSay(agent) {
  const { copilotkit } = useCopilotKit();
  return useCallback(
    (content) => {
      if (agent.isRunning) return;
      agent.addMessage({ id: randomUUID(), role: "user", content });
      // What goes wrong reaches the client's onError.
      copilotkit.runAgent({ agent }).catch(() => {});
    },
    [agent, copilotkit],
  );
}
