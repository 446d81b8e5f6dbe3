"""Calling tools from an agent of one's own: the events of a call, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from copilotkit_django.agents.tools.approval import ApprovalRequired, is_approved
from copilotkit_django.agents.tools.context import ToolSession
from copilotkit_django.agents.tools.results import ToolResult
from copilotkit_django.agents.tools.tool import Tool
from copilotkit_django.events.wire import decode, encode

#: What stands in place of the result of a call the person did not agree to.
REFUSED = "The user refused this call."


class ToolCall:
    """One call of a tool by an agent that needs no model to decide on it::

        session = ToolSession(context)
        call = ToolCall(session, add_todo, {"title": "Buy milk"})
        async for event in call.events():
            yield event
        if call.interrupt:
            yield context.finished(outcome={"type": "interrupt", "interrupts": [call.interrupt]})

    The run that answers the interrupt finds the call again with `resumed`.
    """

    def __init__(
        self,
        session: ToolSession,
        tool: Tool,
        arguments: Any,
        *,
        tool_call_id: str = "",
        parent_message_id: str = "",
    ) -> None:
        self.tool = tool
        self.arguments = arguments
        self.id = tool_call_id or str(uuid4())
        #: What came of it; ``None``: nothing yet.
        self.result: ToolResult | None = None
        #: The person did not agree to it.
        self.refused = False
        #: What the person is to decide first, in wire form.
        self.interrupt: dict[str, Any] | None = None
        self._session = session
        #: The stream has the call already, from a run before.
        self._is_told = bool(tool_call_id)
        #: The page has told the stream of the result itself.
        self._is_answered = False
        #: The message the call belongs to; calls of the same one stand side by side.
        self._parent_message_id = parent_message_id
        self._approved = False

    def decide(self, answer: Mapping[str, Any]) -> None:
        """Take what an entry of ``resume`` says of it."""
        if self.tool.interrupt:
            is_resolved = answer.get("status") == "resolved"
            payload = answer.get("payload") if is_resolved else {"status": "cancelled"}
            self.result = ToolResult(
                encode({"status": "resolved"} if payload is None else payload).decode()
            )
        elif is_approved(answer):
            self._approved = True
        else:
            self.refused, self.result = True, ToolResult(REFUSED, error=True)

    async def events(self) -> AsyncGenerator[dict[str, Any]]:
        """Make the call; yields it, what the tool emits as it goes, and its result."""
        if not self._is_told:
            for event in self._call():
                yield event
        if self.tool.interrupt and self.result is None:
            self.interrupt = {
                "id": self.id,
                "reason": self.tool.interrupt_reason,
                "toolCallId": self.id,
            }
            if self.tool.interrupt_message:
                # It may be a lazy translation.
                self.interrupt["message"] = str(self.tool.interrupt_message)
        elif self.result is None:
            async with aclosing(self._run()) as emitted:
                async for event in emitted:
                    yield event
        if self.result is not None and not self._is_answered:
            yield self.result.event(self.id)

    def _call(self) -> Iterator[dict[str, Any]]:
        start = {"type": "TOOL_CALL_START", "toolCallId": self.id, "toolCallName": self.tool.name}
        if self._parent_message_id:
            start["parentMessageId"] = self._parent_message_id
        yield start
        delta = encode(self.arguments).decode()
        yield {"type": "TOOL_CALL_ARGS", "toolCallId": self.id, "delta": delta}
        yield {"type": "TOOL_CALL_END", "toolCallId": self.id}

    async def _run(self) -> AsyncGenerator[dict[str, Any]]:
        session, news = self._session, asyncio.Event()
        session.on_event = news.set
        context = session.context(self.id, approved=self._approved)
        task = asyncio.create_task(self.tool.call(self.arguments, context))
        task.add_done_callback(lambda _: news.set())
        try:
            while not task.done():
                await news.wait()
                news.clear()
                for event in session.take():
                    yield event
            self.result = task.result()
        except ApprovalRequired as required:
            self.interrupt = required.interrupt()
        finally:
            session.on_event = None
            task.cancel()
            await asyncio.wait({task})


def resumed(session: ToolSession, tools: Iterable[Tool]) -> list[ToolCall]:
    """The calls of these tools that the person has now decided on, in the order of the answers.

    Those they agreed to are made by `ToolCall.events`; of the others ``result`` says no, or holds
    what the page answered an interrupt tool with. The conversation comes from the client: so do
    the arguments.
    """
    known = {tool.name: tool for tool in tools}
    made: dict[str, Mapping[str, Any]] = {}
    answered = set()
    for message in session.run.messages:
        for asked in message.get("toolCalls") or ():
            made[asked["id"]] = asked["function"]
        if message["role"] == "tool":
            answered.add(message["toolCallId"])
    found = []
    for answer in session.run.input.resume or ():
        call_id = answer["interruptId"]
        function = made.pop(call_id, {"name": ""})
        tool = known.get(function["name"])
        # The official client brings the answer to an interrupt tool as a message, too. A tool of
        # ours that has a result has been called before.
        if tool is None or (call_id in answered and not tool.interrupt):
            continue
        call = ToolCall(session, tool, _decoded(function), tool_call_id=call_id)
        call._is_answered = call_id in answered
        call.decide(answer)
        found.append(call)
    return found


def _decoded(function: Mapping[str, Any]) -> Any:
    try:
        return decode((function.get("arguments") or "{}").encode())
    except ValueError:
        return None
