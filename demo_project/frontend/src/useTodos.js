import { useRef } from "react";

/**
 * The newest list there is. The state of an agent belongs to a conversation, and an old
 * conversation replays an old list; its revision gives it away.
 */
export function useTodos(config, agent) {
  const newest = useRef(config.state);
  const { todos, revision } = agent.state ?? {};
  if (Array.isArray(todos) && revision > newest.current.revision) newest.current = agent.state;
  return newest.current.todos;
}
