"""A run of an agent in middleware, without an endpoint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from copilotkit_django.agents import Agent, RunContext, RunInput
from copilotkit_django.agents.middleware.stack import MiddlewareStack
from tests.talk import run_input

Event = dict[str, Any]


def context_of(**fields: Any) -> RunContext:
    return RunContext(RunInput.from_wire(run_input(**fields)).for_agent(), agent_id="default")


class Saying(Agent):
    """Yields what it is given, between the start and the end of a run. Keeps what it was asked."""

    def __init__(self, *events: Any) -> None:
        self.events = events
        self.contexts: list[RunContext] = []
        self.closed = False

    def clone(self) -> Saying:
        return self

    async def run(self, context: RunContext):
        self.contexts.append(context)
        try:
            yield context.started()
            for event in self.events:
                yield event
            yield context.finished()
        finally:
            self.closed = True


def calls(name: str, *pieces: str, id: str = "c1") -> list[Event]:
    """A tool call whose arguments arrive in pieces."""
    return [
        {"type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": name},
        *({"type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": piece} for piece in pieces),
        {"type": "TOOL_CALL_END", "toolCallId": id},
    ]


def result(content: str, id: str = "c1") -> Event:
    return {
        "type": "TOOL_CALL_RESULT",
        "messageId": f"{id}-result",
        "toolCallId": id,
        "content": content,
    }


async def run(agent: Agent, middleware: Iterable[Any], **fields: Any) -> list[Event]:
    """The events of one run of the agent in that middleware."""
    context = context_of(**fields)
    wrapped = MiddlewareStack(list(middleware)).wrap("default", agent, context.input)
    return [event async for event in wrapped.run(context)]
