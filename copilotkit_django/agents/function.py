"""Agents written as one async generator function."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self, overload

from copilotkit_django.agents.base import Agent, Event, RunContext

#: ``async def my_agent(context: RunContext): yield ...``
AgentFunction = Callable[[RunContext], AsyncIterator[Event]]


class FunctionAgent(Agent):
    """An agent made of an async generator function that takes the run context."""

    def __init__(
        self,
        function: AgentFunction,
        *,
        name: str = "",
        description: str = "",
        capabilities: Mapping[str, Any] | None = None,
    ) -> None:
        if not inspect.isasyncgenfunction(function):
            raise TypeError(f"{function!r} is not an async generator function.")
        self.function = function
        self.name = name or function.__name__
        self.description = description or inspect.getdoc(function) or ""
        self._capabilities = capabilities

    def run(self, context: RunContext) -> AsyncIterator[Event]:
        return self.function(context)

    def clone(self) -> Self:
        # A function has no state of its own: nothing to share, nothing to copy.
        return self

    async def capabilities(self) -> Mapping[str, Any] | None:
        return self._capabilities


@overload
def agent(function: AgentFunction) -> FunctionAgent: ...
@overload
def agent(
    *, name: str = "", description: str = "", capabilities: Mapping[str, Any] | None = None
) -> Callable[[AgentFunction], FunctionAgent]: ...
def agent(function: AgentFunction | None = None, **options: Any) -> Any:
    """Make an agent of an async generator function.

    The name defaults to the function's, the description to its docstring::

        @agent(description="Repeats what you say.")
        async def parrot(context):
            yield context.started()
            ...
            yield context.finished()
    """
    if function is not None:
        return FunctionAgent(function)
    return lambda function: FunctionAgent(function, **options)
