"""Carrying out the calls of one answer, side by side, and telling the stream as they go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from copilotkit_django.agents.builtin.offered import Callee, Offer
from copilotkit_django.agents.tools import ApprovalRequired, ToolResult, ToolSession
from copilotkit_django.events.wire import decode
from copilotkit_django.incidents import scrub

Event = dict[str, Any]


@dataclass(slots=True)
class Call:
    """One call of the model, and what became of it."""

    id: str
    name: str
    #: As the model wrote them: JSON, if it did well.
    arguments: str
    #: The person has agreed to it.
    approved: bool = False
    #: What the model is told; ``None``: nothing yet.
    result: ToolResult | None = None
    #: What the person is to decide first.
    interrupt: Event | None = None

    @property
    def event(self) -> Event:
        """Its result, as the page is told."""
        return (self.result or ToolResult("")).event(self.id)


class CallRunner:
    """Carries out calls of one run with the tools it offers."""

    def __init__(self, offer: Offer, session: ToolSession) -> None:
        self._offer = offer
        self._session = session

    def is_for_server(self, call: Call) -> bool:
        """Whether it is answered here: by a tool of the server, or by saying there is none."""
        return self._offer.callee(call.name) is not None or not self._offer.knows(call.name)

    async def carry_out(self, calls: Sequence[Call]) -> AsyncGenerator[Event]:
        """Run the calls; yields what they tell the stream, each one's result as it comes.

        Fills in ``result``, or ``interrupt`` for what waits for the person. Ends all of them when
        it is left early.
        """
        if not calls:
            return
        news: asyncio.Queue[Call | None] = asyncio.Queue()
        self._session.on_event = lambda: news.put_nowait(None)
        tasks = [asyncio.create_task(self._run(call, news)) for call in calls]
        try:
            left = len(tasks)
            while left:
                done = await news.get()
                for event in self._session.take():
                    yield event
                if done is not None:
                    left -= 1
                    if done.result is not None:
                        yield done.event
        finally:
            self._session.on_event = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, call: Call, news: asyncio.Queue[Call | None]) -> None:
        try:
            call.result = await self._result(call)
        except ApprovalRequired as required:
            required.tool, required.tool_call_id = call.name, call.id
            call.interrupt = required.interrupt()
        except Exception as error:
            call.result = ToolResult(scrub(error, expose=self._session.run.expose_errors), True)
        finally:
            news.put_nowait(call)

    async def _result(self, call: Call) -> ToolResult:
        callee: Callee | None = self._offer.callee(call.name)
        if callee is None:
            return ToolResult(f"There is no tool named {call.name}.", error=True)
        try:
            arguments = decode((call.arguments.strip() or "{}").encode())
        except ValueError:
            return ToolResult("The arguments are no valid JSON.", error=True)
        context = self._session.context(call.id, approved=call.approved)
        return await callee.call(arguments, context)
