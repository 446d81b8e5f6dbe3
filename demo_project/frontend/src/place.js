// Where the visitor is: which agent, which conversation. The address bar holds it.
import { useCallback, useEffect, useState } from "react";

let fresh = 0;

// Agents with an `href` are on another page. `key` tells one new conversation from the next.
function read(agents) {
  const query = new URLSearchParams(window.location.search);
  const agentId = query.get("agent");
  const here = agents.filter((agent) => !agent.href);
  return {
    agentId: here.some((agent) => agent.id === agentId) ? agentId : here[0].id,
    threadId: query.get("thread") || undefined,
    key: ++fresh,
  };
}

function address(agentId, threadId) {
  const query = new URLSearchParams();
  if (agentId !== "default") query.set("agent", agentId);
  if (threadId) query.set("thread", threadId);
  const search = query.toString();
  return search ? `?${search}` : window.location.pathname;
}

/**
 * `threadId` is what the chat was opened with, undefined for a new conversation; `liveId` is the
 * conversation on screen, once it has one. They differ for conversations that began on this page:
 * giving the chat its own id afterwards would make it load what it already shows.
 */
export function usePlace(agents) {
  const [place, setPlace] = useState(() => read(agents));
  const [liveId, setLiveId] = useState(place.threadId);

  const show = useCallback((next) => {
    setPlace(next);
    setLiveId(next.threadId);
  }, []);

  const open = useCallback(
    (agentId, threadId) => {
      window.history.pushState(null, "", address(agentId, threadId));
      show({ agentId, threadId, key: ++fresh });
    },
    [show],
  );

  const began = useCallback((agentId, threadId) => {
    window.history.replaceState(null, "", address(agentId, threadId));
    setLiveId(threadId);
  }, []);

  useEffect(() => {
    const back = () => show(read(agents));
    window.addEventListener("popstate", back);
    return () => window.removeEventListener("popstate", back);
  }, [agents, show]);

  return { ...place, liveId, open, began };
}
