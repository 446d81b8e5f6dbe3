import { Account } from "./Account.jsx";
import { List, Mark, Menu, Moon, Sun } from "./icons.jsx";
import { setMode, useLook } from "./look.js";

export function Header({ agents, agentId, account, onAgent, openTodos, onDrawer }) {
  const { dark } = useLook();
  const { keepsTodos } = agents.find(({ id }) => id === agentId);
  return (
    <header className="header">
      <button
        type="button"
        className="icon-button narrow-only"
        aria-label="Conversations"
        onClick={() => onDrawer("threads")}
      >
        <Menu size={20} />
      </button>
      <h1 className="brand">
        <Mark />
        <span>
          CopilotKit <span className="brand-soft">on Django</span>
        </span>
      </h1>
      <div className="agents" role="group" aria-label="Agent">
        {agents.map(({ id, name, hint }) => (
          <button
            key={id}
            type="button"
            title={hint}
            aria-pressed={id === agentId}
            onClick={() => onAgent(id)}
          >
            {name}
          </button>
        ))}
      </div>
      <div className="tools">
        <button
          type="button"
          className="icon-button"
          aria-label={dark ? "Switch to light mode" : "Switch to dark mode"}
          onClick={() => setMode(dark ? "light" : "dark")}
        >
          {dark ? <Sun /> : <Moon />}
        </button>
        {keepsTodos && (
          <button
            type="button"
            className="icon-button todos-button"
            aria-label={`To-dos, ${openTodos} open`}
            onClick={() => onDrawer("todos")}
          >
            <List />
            {openTodos > 0 && <span className="count">{openTodos}</span>}
          </button>
        )}
        <Account {...account} />
      </div>
    </header>
  );
}
