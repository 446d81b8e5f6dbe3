"""Agents of Google's Agent Development Kit."""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import AsyncIterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from copilotkit_django.agents.base import Event, RunContext
from copilotkit_django.contrib.framework import (
    FrameworkAgent,
    current_run,
    on_worker_thread,
    page_context,
    run_input,
)

if TYPE_CHECKING:
    from google.adk.agents import BaseAgent

__all__ = ["ADKAgent"]

#: The framework refuses more runs than this; how many there may be is for the settings to say.
MANY = 1_000_000

#: What the bridge keeps in the state of a session, beside what it marks as its own.
INTERNAL_STATE = frozenset(("lro_tool_call_id_remap", "pending_tool_calls"))


class ADKAgent(FrameworkAgent):
    """An agent of ADK.

    Sessions are those of ``session_service``, by the scope of the owner and the key of the thread;
    without one they are in the memory of this process and forgotten after 20 minutes. More than one
    process needs a service with a database. ``bridge_options`` are those of ``ag_ui_adk.ADKAgent``.
    ``options`` are those of `FrameworkAgent`.

    Tools of the page reach the model where an ``AGUIToolset()`` of ``ag_ui_adk`` is among the
    agent's tools. What the page says about itself is added to the instruction of the root agent.
    Synchronous tools run on the worker thread of the run; without that, ADK would run them on the
    event loop. A stop ends ADK's own task, which it leaves running otherwise.
    """

    extra = "adk"

    def __init__(
        self,
        agent: BaseAgent,
        *,
        session_service: Any = None,
        bridge_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**{"name": agent.name, "description": agent.description or "", **options})
        try:
            self._bridge_class = _bridge()
        except ImportError as error:
            raise self.missing(error) from error
        from google.adk.sessions import InMemorySessionService

        self.agent = _off_the_loop(agent)
        self._options = {
            "session_service": session_service or InMemorySessionService(),
            "use_thread_id_as_session_id": True,
            "emit_interrupt_outcome": True,
            "max_concurrent_executions": MANY,
            **(bridge_options or {}),
        }
        #: Locks and the clean-up task of a bridge belong to one loop.
        self._bridges: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    async def stream(self, context: RunContext) -> AsyncIterator[Event]:
        bridge = self._bridge()
        messages = context.messages
        if said := page_context(context):
            # ADK adds a first message of the system to its instruction.
            messages = [{"id": "page-context", "role": "system", "content": said}, *messages]
        executions: list[Any] = []
        _executions.set(executions)
        thoughts = _Thoughts()
        try:
            async with aclosing(bridge.run(run_input(context, messages=messages))) as events:
                async for event in events:
                    for told in thoughts.once(_without_internals(event)):
                        yield told
        finally:
            for execution in executions:
                if not execution.task.done():
                    await execution.cancel()

    async def close(self) -> None:
        """End the clean-up task of this loop. For tests and short-lived loops."""
        bridge = self._bridges.pop(asyncio.get_running_loop(), None)
        if bridge is not None:
            await bridge.close()

    def _bridge(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._bridges:
            self._bridges[loop] = self._bridge_class(
                adk_agent=self.agent,
                user_id_extractor=lambda run_input: current_run().scope,
                **self._options,
            )
        return self._bridges[loop]


#: The background runs that were started for the run of this task.
_executions: ContextVar[list[Any]] = ContextVar("copilotkit_adk_executions")


@functools.cache
def _bridge() -> Any:
    from ag_ui_adk import ADKAgent as Bridge

    class TellingBridge(Bridge):  # type: ignore[misc]
        """The bridge of AG-UI, telling which background runs it starts."""

        async def _start_background_execution(self, *args: Any, **kwargs: Any) -> Any:
            execution = await super()._start_background_execution(*args, **kwargs)
            _executions.get().append(execution)
            return execution

    return TellingBridge


class _Thoughts:
    """Keeps a model's thoughts from being told twice.

    ADK repeats all that was said when an answer is complete. The bridge knows that of text, and of
    thoughts only while nothing else has been said since.
    """

    def __init__(self) -> None:
        self._told = ""
        self._now = ""
        self._held: list[Any] = []
        self._repeats = False

    def once(self, event: Any) -> list[Any]:
        """The events to pass on when this one arrives."""
        kind = str.__str__(event.type)
        if not kind.startswith("REASONING_"):
            if kind == "TOOL_CALL_RESULT":
                # Another answer: it may think the same again.
                self._told = ""
            return [event]
        if kind == "REASONING_START":
            self._now, self._held, self._repeats = "", [event], False
            return []
        if kind == "REASONING_MESSAGE_CONTENT":
            self._repeats = self._repeats or (not self._now and event.delta == self._told)
            self._now += event.delta
        if kind == "REASONING_END":
            self._told = self._now
        if self._repeats:
            return []
        if kind == "REASONING_MESSAGE_START":
            self._held.append(event)
            return []
        held, self._held = self._held, []
        return [*held, event]


def _off_the_loop(agent: Any) -> Any:
    """A copy of a tree of agents whose synchronous tools are coroutines."""
    changes: dict[str, Any] = {}
    if getattr(agent, "tools", None):
        changes["tools"] = [_tool(tool) for tool in agent.tools]
    if agent.sub_agents:
        changes["sub_agents"] = [_off_the_loop(each) for each in agent.sub_agents]
    return agent.clone(update=changes)


def _tool(tool: Any) -> Any:
    function = getattr(tool, "func", None)
    if function is not None:
        tool = copy.copy(tool)
        tool.func = on_worker_thread(function)
        return tool
    # A toolset brings tools of its own; a class of a tool or a callable object stays as it is.
    return on_worker_thread(tool) if hasattr(tool, "__code__") else tool


def _without_internals(event: Any) -> Any:
    """An event about the state, without the keys the bridge keeps its own books under."""
    if event.type == "STATE_SNAPSHOT" and isinstance(event.snapshot, dict):
        kept = {k: v for k, v in event.snapshot.items() if not _is_internal(k)}
        return event.model_copy(update={"snapshot": kept})
    if event.type == "STATE_DELTA":
        delta = [op for op in event.delta if not _is_internal(_path(op)[1:].split("/")[0])]
        return event.model_copy(update={"delta": delta})
    return event


def _is_internal(key: str) -> bool:
    return key.startswith("_ag_ui_") or key in INTERNAL_STATE


def _path(operation: Any) -> str:
    path = operation["path"] if isinstance(operation, dict) else operation.path
    return str(path)
