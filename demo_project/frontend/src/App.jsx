import { useAgent, useCopilotKit } from "@copilotkit/react-core/v2";
import { useEffect, useState } from "react";
import { Account } from "./Account.jsx";
import { Chat } from "./Chat.jsx";
import { Drawer } from "./Drawer.jsx";
import { clearErrors } from "./errors.js";
import { Header } from "./Header.jsx";
import { usePageTools } from "./PageTools.jsx";
import { Threads } from "./Threads.jsx";
import { noteStarted } from "./started.js";
import { rememberTitle } from "./titles.js";
import { Toasts } from "./Toasts.jsx";
import { Todos } from "./Todos.jsx";
import { usePlace } from "./place.js";
import { useTodos } from "./useTodos.js";

export function App({ config }) {
  const place = usePlace(config.agents);
  const { agentId, threadId, liveId, key, began } = place;
  const { copilotkit } = useCopilotKit();
  const { agent } = useAgent({ agentId });
  const todos = useTodos(config, agent);
  const [drawer, setDrawer] = useState(null);
  const about = config.agents.find(({ id }) => id === agentId);
  usePageTools();

  // A conversation that begins here gets its place in the address bar and its first words.
  useEffect(() => {
    const { unsubscribe } = agent.subscribe({
      onRunStartedEvent: ({ input }) => {
        // A replay looks the same, but sends no messages.
        if (input.messages.length === 0) return;
        noteStarted(agent.threadId, agentId);
        const first = agent.messages.find((message) => message.role === "user");
        if (typeof first?.content === "string") rememberTitle(agent.threadId, first.content);
        if (!threadId) began(agentId, agent.threadId);
      },
      onRunFinishedEvent: ({ input }) => input.messages.length > 0 && clearErrors(),
    });
    return unsubscribe;
  }, [agent, agentId, threadId, began]);

  const open = (nextAgentId, nextThreadId) => {
    const { href } = config.agents.find(({ id }) => id === nextAgentId);
    if (href) return window.location.assign(href);
    setDrawer(null);
    leave(copilotkit.getAgent(agentId));
    place.open(nextAgentId, nextThreadId);
  };
  const threads = (
    <Threads
      agentId={agentId}
      agent={agent}
      liveId={liveId}
      onOpen={(id) => (id === liveId ? setDrawer(null) : open(agentId, id))}
      onNew={() => open(agentId, undefined)}
    />
  );
  const list = <Todos todos={todos} agent={agent} />;

  return (
    <div className={`page ${about.keepsTodos ? "with-todos" : ""}`}>
      <a className="skip" href="#chat">
        Skip to the conversation
      </a>
      <Header
        agents={config.agents}
        agentId={agentId}
        account={config.account}
        onAgent={(id) => id !== agentId && open(id, undefined)}
        openTodos={todos.filter((todo) => !todo.done).length}
        onDrawer={setDrawer}
      />
      <nav className="side" aria-label="Conversations">
        {threads}
      </nav>
      <main className="chat" id="chat" tabIndex={-1}>
        <Chat
          key={`${agentId} ${key}`}
          about={about}
          agent={agent}
          threadId={threadId}
          onNew={() => open(agentId, undefined)}
        />
      </main>
      {about.keepsTodos && (
        <aside className="state" aria-label="To-dos">
          {list}
        </aside>
      )}
      <Drawer open={drawer === "threads"} side="left" label="Conversations" onClose={() => setDrawer(null)}>
        {threads}
        <Account {...config.account} />
      </Drawer>
      <Drawer open={drawer === "todos"} side="right" label="To-dos" onClose={() => setDrawer(null)}>
        {list}
      </Drawer>
      <Toasts />
    </div>
  );
}

/** The client keeps one object per agent: what still streams must not reach the next conversation. */
function leave(agent) {
  agent?.detachActiveRun?.()?.catch?.(() => {});
  if (agent) agent.pendingInterrupts = [];
}
