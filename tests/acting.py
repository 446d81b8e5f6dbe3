"""Agents that act on cue, so that a test decides what happens when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

from copilotkit_django.agents import Agent, RunContext

Event = dict[str, Any]


def opening(context: RunContext, text: str = "par") -> list[Event]:
    """The start of a run that has begun to say something."""
    id = f"{context.run_id}-m1"
    return [
        context.started(),
        {"type": "TEXT_MESSAGE_START", "messageId": id, "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": text},
    ]


def ending(context: RunContext) -> list[Event]:
    """The end of a run that `opening` began."""
    return [
        {"type": "TEXT_MESSAGE_END", "messageId": f"{context.run_id}-m1"},
        context.finished(),
    ]


def delta(context: RunContext, text: str) -> Event:
    return {
        "type": "TEXT_MESSAGE_CONTENT",
        "messageId": f"{context.run_id}-m1",
        "delta": text,
    }


class Parrot(Agent):
    """Repeats what it is told."""

    async def run(self, context: RunContext) -> AsyncIterator[Event]:
        for event in (*opening(context, context.last_user_text), *ending(context)):
            yield event


class Staged(Agent):
    """Begins to speak, waits for its cue, then ends properly. Clones share the stage."""

    def __init__(self) -> None:
        self.contexts: list[RunContext] = []
        #: It has yielded its opening and waits.
        self.waiting = asyncio.Event()
        #: It goes on once this is set.
        self.cue = asyncio.Event()
        #: It was cancelled while it waited.
        self.cancelled = asyncio.Event()

    def clone(self) -> Self:
        return self

    async def run(self, context: RunContext) -> AsyncIterator[Event]:
        self.contexts.append(context)
        for event in opening(context):
            yield event
        self.waiting.set()
        try:
            await self.cue.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        for event in ending(context):
            yield event


class Failing(Agent):
    """Raises after a number of the events of an ordinary run."""

    def __init__(self, after: int, error: BaseException) -> None:
        self.after = after
        self.error = error

    def clone(self) -> Self:
        return self

    async def run(self, context: RunContext) -> AsyncIterator[Event]:
        for event in (*opening(context), *ending(context))[: self.after]:
            yield event
        raise self.error
