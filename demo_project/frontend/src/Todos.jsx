import { Check } from "./icons.jsx";
import { useSay } from "./say.js";

/** The state the to-do assistant shares with the page. Ticking something off is a message to it. */
export function Todos({ todos, agent }) {
  const say = useSay(agent);
  const done = todos.filter((todo) => todo.done).length;

  return (
    <section className="todos">
      <div className="panel-head">
        <h2>To-dos</h2>
        {todos.length > 0 && (
          <span className="soft">
            {done} of {todos.length} done
          </span>
        )}
      </div>
      {todos.length > 0 && <progress value={done} max={todos.length} aria-label="Done" />}
      {todos.length === 0 ? (
        <p className="empty">
          Nothing here yet. Say <q>add buy milk</q> and watch this list: the assistant writes it to
          the database and shares it with the page.
        </p>
      ) : (
        <ol>
          {todos.map((todo, index) => (
            <li key={todo.id} className={todo.done ? "done" : ""}>
              <button
                type="button"
                role="checkbox"
                aria-checked={todo.done}
                disabled={agent.isRunning}
                onClick={() => say(`${todo.done ? "Reopen" : "Done"} ${index + 1}`)}
              >
                <span className="box">{todo.done && <Check size={14} />}</span>
                <span className="what">{todo.title}</span>
                <span className="number" aria-hidden="true">
                  {index + 1}
                </span>
              </button>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
