"""Agents of AG2 (the package ``ag2``, 1.2 and later)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents import Event, RunContext
from copilotkit_django.agents.tools import ToolContext, ToolSession, is_approved
from copilotkit_django.agents.tools.approval import REASON
from copilotkit_django.contrib.conversation import repaired
from copilotkit_django.contrib.framework import FrameworkAgent, run_input
from copilotkit_django.contrib.stream import wires
from copilotkit_django.incidents import scrub

if TYPE_CHECKING:
    import ag2
    from ag2.ag_ui import AGUIStream

logger = logging.getLogger("copilotkit.run")

#: Where tools find the `ToolContext`: among the ``dependencies`` of their ``ag2.Context``.
CONTEXT = "copilotkit"

#: What AG2 calls a question whether a tool may be called. To pages the name says that they carry
#: the call out themselves.
TOOL_CALL = "tool_call"

#: What a page is told of a subagent that failed, whose own words may be those of an exception.
SUBAGENT_FAILED = "The delegated task failed."


class AG2Agent(FrameworkAgent):
    """An agent of AG2.

    The conversation comes from the page with every run. The page's state becomes the variables of
    the turn, and what tools change in them goes back to the page when the turn ends.

    A tool that asks (``context.input()``, ``approval_required()``) is interrupted and goes on in
    the run that answers. Until then it waits in this process, for ``hold_seconds`` at most: behind
    several processes requests of one thread have to reach the same one, and a restart forgets it.
    Of more than ``max_held`` waiting threads those that wait longest are given up. A question that
    is not answered by the next run of its thread is given up too.
    """

    extra = "ag2"

    def __init__(
        self,
        agent: ag2.Agent[Any],
        *,
        name: str = "",
        description: str = "",
        hold_seconds: float = 900.0,
        max_held: int = 128,
    ) -> None:
        try:
            from ag2.ag_ui import AGUIStream  # noqa: F401
        except ImportError as error:
            raise self.missing(error) from error
        super().__init__(name=name or agent.name, description=description)
        self.agent = agent
        self.hold_seconds = hold_seconds
        self.max_held = max_held
        #: By thread, longest first: the streams whose turns wait for an answer, and what their
        #: tools put into the stream.
        self.held: OrderedDict[str, tuple[AGUIStream, ToolSession]] = OrderedDict()

    async def close(self) -> None:
        """Give up what waits for an answer. Call it on the loop that runs agents."""
        while self.held:
            _, (stream, _) = self.held.popitem()
            await stream.aclose()

    async def capabilities(self) -> Mapping[str, Any]:
        return {
            "transport": {"streaming": True},
            "tools": {"supported": True, "clientProvided": True},
            "state": {"snapshots": True, "deltas": False},
            "reasoning": {"supported": True, "streaming": True},
            "humanInTheLoop": {"supported": True, "approvals": True, "interrupts": True},
        }

    async def stream(self, context: RunContext) -> AsyncIterator[Event]:
        from ag2.ag_ui import AGUIStream
        from ag2.ag_ui.interrupts import Retention

        held = self.held.pop(context.thread_key, None)
        answers = [_answer(entry) for entry in context.input.resume or []]
        if held is not None and not answers:
            await held[0].aclose()
            held = None
        if held is None:
            if answers:
                logger.warning("Agent %r no longer waits for this answer.", context.agent_id)
            answers = []
            held = (
                AGUIStream(self.agent, retention=Retention(ttl=self.hold_seconds)),
                ToolSession(context),
            )
        stream, tools = held
        own = {tool.name for tool in self.agent.tools}
        given = run_input(
            context,
            messages=repaired(context.messages, open_end=bool(answers)),
            tools=[tool for tool in context.input.tools if tool["name"] not in own],
            resume=answers or None,
        )
        turn = stream.dispatch(
            given,
            dependencies={CONTEXT: ToolContext(context, session=tools)},
            middleware=[_middleware(context)],
        )
        asks = False
        try:
            async with aclosing(turn) as chunks:
                async for chunk in chunks:
                    for emitted in tools.take():
                        yield emitted
                    for event in wires(chunk):
                        if (event.get("outcome") or {}).get("type") == "interrupt":
                            asks = True
                            event["outcome"] = _questions(event["outcome"])
                        elif event["type"] == "SUBAGENT_ERROR" and not context.expose_errors:
                            event["message"] = SUBAGENT_FAILED
                        yield event
        finally:
            if not asks:
                # The turn is a task of its own and would go on without anybody listening.
                await stream.aclose()
        if asks:
            self.held[context.thread_key] = held
            while len(self.held) > self.max_held:
                _, (longest, _) = self.held.popitem(last=False)
                await longest.aclose()


def _middleware(run: RunContext) -> Any:
    """What keeps tracebacks from the model and the page, and empty messages from the model."""
    from ag2.events import ModelRequest, ToolErrorEvent, ToolResult
    from ag2.exceptions import HumanInputError
    from ag2.middleware import BaseMiddleware, Middleware

    class Tidy(BaseMiddleware):  # type: ignore[misc]
        async def on_tool_execution(self, call_next: Any, event: Any, context: Any) -> Any:
            try:
                result = await call_next(event, context)
            except HumanInputError:
                raise
            except Exception as error:
                result = ToolErrorEvent.from_call(event, error)
            if isinstance(result, ToolErrorEvent):
                text = scrub(result.error, expose=run.expose_errors)
                result.result = ToolResult(f"Error: {text}")
            return result

        async def on_llm_call(self, call_next: Any, events: Any, context: Any) -> Any:
            # A run that begins with the result of a tool has no user message; AG2 makes one.
            said = [e for e in events if not isinstance(e, ModelRequest) or e.parts]
            return await call_next(said, replace(context, stream=_Steady(context.stream)))

    return Middleware(Tidy)


class _Steady:
    """The stream a model's answer goes to, for which being cancelled is put off.

    AG2 does not close the answer when it is cancelled between two chunks: left to the garbage
    collector, the connection stays open and the model talks on. Cancelled where it waits for the
    next chunk, the client closes it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def send(self, *arguments: Any) -> None:
        try:
            await self._stream.send(*arguments)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None:
                raise
            # Delivered again at the next pause. Nobody hears this chunk any more.
            task.cancel()


def _questions(outcome: Mapping[str, Any]) -> dict[str, Any]:
    interrupts = [
        {**each, "reason": REASON if each["reason"] == TOOL_CALL else each["reason"]}
        for each in outcome["interrupts"]
    ]
    return {**outcome, "interrupts": interrupts}


def _answer(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An answer in the form AG2 takes: a text, or whether a tool may be called."""
    payload = entry.get("payload")
    if isinstance(payload, Mapping) and "approved" in payload:
        payload = is_approved(entry)
    elif not isinstance(payload, (str, bool)):
        payload = json.dumps(payload)
    return {**entry, "payload": payload}
