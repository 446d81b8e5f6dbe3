"""Graphs of LangGraph, and agents of LangChain, which are graphs."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents.base import Event, RunContext
from copilotkit_django.contrib.framework import FrameworkAgent, on_worker_thread, run_input
from copilotkit_django.workers import call

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

__all__ = ["LangGraphAgent"]

#: Keys of a graph's state that are no part of what it shares with the page.
NOT_STATE = frozenset(("messages", "tools", "ag-ui", "copilotkit"))


class LangGraphAgent(FrameworkAgent):
    """A compiled graph of LangGraph.

    With a checkpointer the graph remembers its threads, by the key of the thread; a graph that
    interrupts needs one, and one in a database if there is more than one process. Without one the
    conversation is what the client sends.

    ``configurable`` is called with the run's context, for each run, and returns what to put into
    ``config["configurable"]`` beside the thread. ``config`` is the rest of a ``RunnableConfig``.
    ``options`` are those of `FrameworkAgent`.

    The shared state is the state of the graph, tools and context of the page are in its keys
    ``tools`` and ``copilotkit``; an agent made by ``create_agent`` takes them with
    ``CopilotKitMiddleware`` of the package ``copilotkit``. Synchronous tools of a ``ToolNode`` run
    on the worker thread of the run; a synchronous node that uses the database should be wrapped in
    `on_worker_thread`.
    """

    extra = "langgraph"
    snapshots_replace = True

    def __init__(
        self,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        *,
        config: Mapping[str, Any] | None = None,
        configurable: Callable[[RunContext], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**{"name": graph.get_name(), **options})
        try:
            self._bridge = _bridge()
        except ImportError as error:
            raise self.missing(error) from error
        self.graph = graph
        self.config = dict(config or {})
        self.configurable = configurable
        for node in graph.nodes.values():
            _off_the_loop(getattr(node.bound, "tools_by_name", {}))

    async def stream(self, context: RunContext) -> AsyncIterator[Event]:
        graph = self.graph
        if not graph.checkpointer:
            from langgraph.checkpoint.memory import InMemorySaver

            # The bridge keeps what it knows of a run in a checkpoint. This one ends with the run.
            graph = graph.copy(update={"checkpointer": InMemorySaver()})
        more = {} if self.configurable is None else await call(self.configurable, context)
        configurable = {**self.config.get("configurable", {}), **more}
        agent = self._bridge(
            name=self.name,
            graph=graph,
            config={**self.config, "configurable": configurable},
            emit_raw_events=self.raw,
            emit_interrupt_outcome=True,
            enable_legacy_on_interrupt_event=False,
        )
        async with aclosing(agent.run(run_input(context))) as events:
            async for event in events:
                if event.type == "STATE_SNAPSHOT" and isinstance(event.snapshot, dict):
                    # A copy of the conversation, and what the page said itself, with each step.
                    kept = {k: v for k, v in event.snapshot.items() if k not in NOT_STATE}
                    event = event.model_copy(update={"snapshot": kept})
                yield event


def _off_the_loop(tools: Mapping[str, Any]) -> None:
    """Give synchronous tools a coroutine, which is what a graph that runs on a loop calls."""
    for tool in tools.values():
        function = getattr(tool, "func", None)
        if function is not None and getattr(tool, "coroutine", ...) is None:
            tool.coroutine = on_worker_thread(function)


@functools.cache
def _bridge() -> Any:
    from ag_ui_langgraph import LangGraphAgent as Bridge
    from langgraph.types import Command

    class RepairedBridge(Bridge):  # type: ignore[misc]
        """The bridge of AG-UI, with what it loses put right."""

        async def _handle_single_event(self, event: Any, state: Any) -> AsyncIterator[Any]:
            for piece in _one_call_each(event):
                async for out in super()._handle_single_event(piece, state):
                    yield out

        def _build_command_from_agui_resume(
            self, entries: list[Any], *, open_interrupts: Any = None
        ) -> Any:
            # Answers go by the id of what they answer; the bridge would take any single one.
            known = {interrupt.id for interrupt in open_interrupts or ()}
            unknown = [entry.interrupt_id for entry in entries if entry.interrupt_id not in known]
            if unknown:
                raise LookupError(f"There is no open interrupt {unknown[0]!r} on this thread.")
            return Command(resume={entry.interrupt_id: _answer(entry) for entry in entries})

    return RepairedBridge


def _answer(entry: Any) -> Any:
    if entry.status == "resolved":
        return entry.payload
    return {"cancelled": True, "interrupt_id": entry.interrupt_id}


def _one_call_each(event: Any) -> list[Any]:
    """A chunk of a model as the bridge reads it best.

    It looks at the first tool call of a chunk only, drops the arguments that come with a name, and
    does not look at a chunk at all that says how the answer ends. Models that speak like OpenAI do
    none of that; others send whole calls, several at once, with the end.
    """
    chunk: Any = (event.get("data") or {}).get("chunk")
    calls = getattr(chunk, "tool_call_chunks", None)
    if event.get("event") != "on_chat_model_stream" or not calls:
        return [event]
    ends = bool(chunk.response_metadata.get("finish_reason"))
    if len(calls) == 1 and not ends and not (calls[0]["name"] and calls[0]["args"]):
        return [event]
    silent: dict[str, Any] = {"content": "", "usage_metadata": None, "response_metadata": {}}
    changes: list[dict[str, Any]] = []
    for call_chunk in calls:
        if call_chunk["name"]:
            changes.append({"tool_call_chunks": [{**call_chunk, "args": ""}]})
        if call_chunk["args"]:
            more = {**call_chunk, "name": None, "id": None}
            changes.append({"tool_call_chunks": [more]})
    first, *rest = changes
    chunks = [chunk.model_copy(update={**first, "response_metadata": {}})]
    chunks += [chunk.model_copy(update={**silent, **change}) for change in rest]
    if ends:
        end: dict[str, Any] = {"content": "", "usage_metadata": None, "tool_call_chunks": []}
        chunks.append(chunk.model_copy(update=end))
    return [{**event, "data": {**event["data"], "chunk": piece}} for piece in chunks]
