"""The contract of agent middleware: what stands between a run and its agent."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

from copilotkit_django.agents.base import Event, RunContext, RunInput

#: Continues a run: called with a context, it returns the events of what is further inside, as
#: valid dicts in wire form, chunks expanded.
Next = Callable[[RunContext], AsyncIterator[dict[str, Any]]]

#: ``async def my_middleware(context, next): async for event in next(context): yield event``
MiddlewareFunction = Callable[[RunContext, Next], AsyncIterator[Event]]


class AgentMiddleware(abc.ABC):
    """Sees, changes, holds back and adds the events of runs, and the input agents get.

    One object serves all runs of a process at the same time: keep what belongs to one run in local
    variables of `run`.
    """

    #: Whether runs that only make suggestions pass it as well.
    on_suggestions = True

    @abc.abstractmethod
    def run(self, context: RunContext, next: Next) -> AsyncIterator[Event]:
        """Yield the events of one run: an async generator.

        ``next(context)`` is the rest of the run: it may be called with another context
        (`RunContext.with_input`), more than once, or not at all. What it returns is closed when the
        run ends, in the task that ran it. What is raised ends the run with a ``RUN_ERROR``.
        """

    def is_aside(self, run_input: RunInput) -> bool:
        """Whether a run with this input is no turn of the conversation.

        It is then run without its thread: nothing of it is stored, no thread is held, and it ends
        when its caller leaves. All middleware of an agent is asked before a run begins.
        """
        return False

    def __deepcopy__(self, memo: Any) -> Self:
        # Copying an agent for a run does not copy what all its runs share.
        return self


class FunctionMiddleware(AgentMiddleware):
    """Middleware made of an async generator function taking the context and the next."""

    def __init__(self, function: MiddlewareFunction) -> None:
        self.function = function

    def run(self, context: RunContext, next: Next) -> AsyncIterator[Event]:
        return self.function(context, next)

    def __repr__(self) -> str:
        return f"<FunctionMiddleware {self.function!r}>"
