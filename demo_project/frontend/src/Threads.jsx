import { useCopilotKit, useThreads } from "@copilotkit/react-core/v2";
import { useEffect, useRef, useState } from "react";
import { reportError } from "./errors.js";
import { Archive, Check, Pencil, Plus, Restore, Trash } from "./icons.jsx";
import { useWithStarted } from "./started.js";
import { ago } from "./time.js";
import { titleOf } from "./titles.js";

export function Threads({ agentId, agent, liveId, onOpen, onNew }) {
  const { copilotkit } = useCopilotKit();
  const [archived, setArchived] = useState(false);
  const list = useThreads({ agentId, includeArchived: archived, limit: 40 });
  const { isLoading, listError, refetchThreads } = list;
  // The server tells of changes as they happen, if it can.
  const told = copilotkit.threadEndpoints?.realtimeMetadata === true;
  const threads = useWithStarted(list.threads, agentId, told ? null : refetchThreads);
  const editable = copilotkit.threadEndpoints?.mutations !== false;
  useMinutes();

  // Otherwise the client fetches the list once; runs change it.
  useEffect(() => {
    if (told) return undefined;
    const refetch = () => refetchThreads();
    const { unsubscribe } = agent.subscribe({
      onRunStartedEvent: refetch,
      onRunFinalized: refetch,
      onRunFailed: refetch,
    });
    return unsubscribe;
  }, [agent, refetchThreads, told]);

  const attempt = (change) => change.catch((error) => reportError({ error }));
  return (
    <section className="threads">
      <button type="button" className="button new" onClick={onNew}>
        <Plus size={17} /> New conversation
      </button>
      {listError && (
        <p className="empty">
          The list could not be loaded.{" "}
          <button type="button" className="link" onClick={refetchThreads}>
            Try again
          </button>
        </p>
      )}
      {!listError && !isLoading && threads.length === 0 && (
        <p className="empty">Conversations appear here. They are yours alone.</p>
      )}
      <ul>
        {threads.map((thread) => (
          <Row
            key={thread.id}
            thread={thread}
            current={thread.id === liveId}
            running={thread.id === liveId && agent.isRunning}
            editable={editable && thread.updatedAt !== undefined}
            onOpen={() => onOpen(thread.id)}
            onRename={(name) => attempt(list.renameThread(thread.id, name))}
            onArchive={() => {
              if (thread.id === liveId) onNew();
              attempt(list.archiveThread(thread.id));
            }}
            onRestore={() => attempt(list.unarchiveThread(thread.id))}
            onDelete={() => {
              if (thread.id === liveId) onNew();
              attempt(list.deleteThread(thread.id));
            }}
          />
        ))}
      </ul>
      {list.hasMoreThreads && (
        <button
          type="button"
          className="link more"
          disabled={list.isFetchingMoreThreads}
          onClick={list.fetchMoreThreads}
        >
          Show older
        </button>
      )}
      {editable && (threads.length > 0 || archived) && (
        <label className="archived-toggle">
          <input
            type="checkbox"
            checked={archived}
            onChange={(event) => setArchived(event.target.checked)}
          />
          Show archived
        </label>
      )}
    </section>
  );
}

function Row({ thread, current, running, editable, onOpen, onRename, onArchive, onRestore, onDelete }) {
  const [mode, setMode] = useState("rest");
  const title = titleOf(thread);
  const time = thread.lastRunAt ?? thread.updatedAt ?? thread.createdAt;

  if (mode === "rename") {
    return (
      <li className="row">
        <Rename
          title={title}
          onDone={(name) => {
            setMode("rest");
            if (name && name !== title) onRename(name);
          }}
        />
      </li>
    );
  }
  if (mode === "delete") {
    return (
      <li className="row asking" role="group" aria-label={`Delete ${title}?`}>
        <span>Delete this?</span>
        <button type="button" className="button small danger" autoFocus onClick={onDelete}>
          Delete
        </button>
        <button type="button" className="button small" onClick={() => setMode("rest")}>
          Keep
        </button>
      </li>
    );
  }
  return (
    <li className={`row ${current ? "current" : ""} ${thread.archived ? "archived" : ""}`}>
      <button
        type="button"
        className="open"
        aria-current={current ? "true" : undefined}
        onClick={onOpen}
      >
        <span className="title">{title}</span>
        <span className="soft">
          {running ? <span className="live">Answering…</span> : ago(time)}
          {thread.archived && " · archived"}
        </span>
      </button>
      {editable && (
        <span className="actions">
          <Action label={`Rename ${title}`} onClick={() => setMode("rename")}>
            <Pencil size={15} />
          </Action>
          {thread.archived ? (
            <Action label={`Restore ${title}`} onClick={onRestore}>
              <Restore size={15} />
            </Action>
          ) : (
            <Action label={`Archive ${title}`} onClick={onArchive}>
              <Archive size={15} />
            </Action>
          )}
          <Action label={`Delete ${title}`} onClick={() => setMode("delete")}>
            <Trash size={15} />
          </Action>
        </span>
      )}
    </li>
  );
}

function Action({ label, onClick, children }) {
  return (
    <button type="button" className="icon-button small" aria-label={label} title={label} onClick={onClick}>
      {children}
    </button>
  );
}

function Rename({ title, onDone }) {
  const [name, setName] = useState(title);
  const settled = useRef(false);
  const finish = (value) => {
    // Leaving the field by Enter or Escape also blurs it.
    if (settled.current) return;
    settled.current = true;
    onDone(value);
  };
  return (
    <form
      className="rename"
      onSubmit={(event) => {
        event.preventDefault();
        finish(name.trim());
      }}
    >
      <input
        aria-label="Name of the conversation"
        autoFocus
        maxLength={100}
        value={name}
        onChange={(event) => setName(event.target.value)}
        onFocus={(event) => event.target.select()}
        onKeyDown={(event) => event.key === "Escape" && finish(null)}
        onBlur={() => finish(name.trim())}
      />
      <button type="submit" className="icon-button small" aria-label="Save the name">
        <Check size={15} />
      </button>
    </form>
  );
}

/** Keeps "5 min ago" true. */
function useMinutes() {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 30_000);
    return () => clearInterval(timer);
  }, []);
}
