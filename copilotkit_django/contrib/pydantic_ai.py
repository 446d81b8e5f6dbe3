"""Agents of Pydantic AI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents.base import Event, RunContext
from copilotkit_django.contrib.framework import FrameworkAgent, page_context, run_input
from copilotkit_django.workers import call, worker_executor

if TYPE_CHECKING:
    from pydantic_ai import Agent as Framework

__all__ = ["PydanticAIAgent"]


class PydanticAIAgent(FrameworkAgent):
    """A ``pydantic_ai.Agent``.

    ``deps`` is called with the run's context, for each run, and returns the dependencies of the
    agent; it may be a coroutine function. ``StateDeps`` it returns are given the shared state.
    ``run_options`` go to each run of the agent: ``model``, ``model_settings``, ``usage_limits``,
    ``output_type``, ``toolsets`` … ``options`` are those of `FrameworkAgent`.

    The conversation is what the client sends. Synchronous tools run on the worker thread of the run
    and may use the database. Of a tool of the page that has the name of one of the agent's own,
    only the agent's is offered to the model.
    """

    extra = "pydantic-ai"

    def __init__(
        self,
        agent: Framework[Any, Any],
        *,
        deps: Callable[[RunContext], Any] | None = None,
        run_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**{"name": agent.name or "", **options})
        if deps is not None and not callable(deps):
            raise TypeError("deps is a function of the run's context: runs must not share them.")
        self.agent = agent
        self.deps = deps
        self.run_options = dict(run_options or {})
        try:
            import pydantic_ai.ui.ag_ui  # noqa: F401
        except ImportError as error:
            raise self.missing(error) from error

    async def stream(self, context: RunContext) -> AsyncIterator[Event]:
        from pydantic_ai.ui.ag_ui import AGUIAdapter

        own = self._tool_names()
        tools = [tool for tool in context.input.tools if tool["name"] not in own]
        adapter = AGUIAdapter(
            agent=self.agent, run_input=run_input(context, tools=tools), include_usage=True
        )
        events = adapter.run_stream(
            deps=None if self.deps is None else await call(self.deps, context),
            instructions=page_context(context) or None,
            conversation_id=context.thread_key,
            **self.run_options,
        )
        with worker_executor() as executor, self.agent.using_thread_executor(executor):
            async with aclosing(events) as stream:  # type: ignore[type-var]
                async for event in stream:
                    yield event

    def _tool_names(self) -> set[str]:
        return {
            name
            for toolset in (*self.agent.toolsets, *self.run_options.get("toolsets", ()))
            for name in getattr(toolset, "tools", ())
        }
