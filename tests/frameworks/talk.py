"""A page that talks to an agent: it remembers the conversation like the official client does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from copilotkit_django.events.snapshot import Conversation
from copilotkit_django.events.state import fold
from tests.integration.site import Caller
from tests.talk import Event, events_in, run_input, text_of, within

#: The tool a page offers.
PAINT = {
    "name": "paint",
    "description": "Paint the page.",
    "parameters": {
        "type": "object",
        "properties": {"color": {"type": "string"}},
        "required": ["color"],
    },
}

#: Frameworks take their time on a busy machine.
SECONDS = 60.0


@dataclass
class Heard:
    """The events of one run."""

    events: list[Event]
    body: bytes = b""

    @property
    def text(self) -> str:
        return text_of(self.events)

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def last(self) -> Event:
        return self.events[-1]

    @property
    def reasoning(self) -> str:
        return "".join(e["delta"] for e in self.events if e["type"] == "REASONING_MESSAGE_CONTENT")

    @property
    def calls(self) -> list[tuple[str, Any, str]]:
        """Name, arguments and id of each call, put together from what was streamed."""
        found: dict[str, list[str]] = {}
        for event in self.events:
            if event["type"] == "TOOL_CALL_START":
                found[event["toolCallId"]] = [event["toolCallName"], ""]
            elif event["type"] == "TOOL_CALL_ARGS":
                found[event["toolCallId"]][1] += event["delta"]
        return [(name, json.loads(text or "{}"), id) for id, (name, text) in found.items()]

    @property
    def results(self) -> dict[str, str]:
        return {
            e["toolCallId"]: e["content"] for e in self.events if e["type"] == "TOOL_CALL_RESULT"
        }

    @property
    def interrupts(self) -> list[dict[str, Any]]:
        outcome = self.last.get("outcome") or {}
        return outcome.get("interrupts") or []


@dataclass
class Page:
    """A tab with a thread open in it."""

    caller: Caller
    thread: str = "t1"
    state: Any = field(default_factory=dict)
    tools: list[dict[str, Any]] = field(default_factory=list)
    conversation: Conversation = field(default_factory=Conversation)
    runs: int = 0

    def __post_init__(self) -> None:
        self.caller.seconds = SECONDS

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.conversation.finish()

    async def say(self, text: str) -> Heard:
        """Say something, and hear the answer to its end."""
        return await self.hear(await self.begin(text))

    async def begin(self, text: str | None = None, **fields: Any) -> Any:
        """The response to it, not read yet."""
        return await self.caller.open("POST", "/agent/default/run", self._wire(text, **fields))

    async def hear(self, response: Any) -> Heard:
        assert response.status_code == 200, response.content
        return self.take(await within(_body(response), SECONDS))

    def take(self, body: bytes) -> Heard:
        heard = Heard(events_in(body), body)
        for event in heard.events:
            self.conversation.apply(event)
        states = [e for e in heard.events if e["type"] in ("STATE_SNAPSHOT", "STATE_DELTA")]
        self.state = fold(self.state, states)
        return heard

    async def answer(self, call_id: str, content: str) -> Heard:
        """Send the result of a tool of this page."""
        message = {"id": f"r-{call_id}", "role": "tool", "toolCallId": call_id, "content": content}
        return await self.hear(await self.begin(None, messages=[*self.messages, message]))

    async def resume(self, interrupt: dict[str, Any], payload: Any) -> Heard:
        """Answer an interrupt."""
        entry = {"interruptId": interrupt["id"], "status": "resolved", "payload": payload}
        return await self.hear(await self.begin(None, resume=[entry]))

    async def stop(self) -> None:
        answer = await self.caller.ask("POST", f"/agent/default/stop/{self.thread}")
        assert answer.data["stopped"]

    def _wire(self, text: str | None, **fields: Any) -> dict[str, Any]:
        self.runs += 1
        run = f"{self.thread}-{self.runs}"
        messages = list(self.messages)
        if text is not None:
            messages.append({"id": f"u-{run}", "role": "user", "content": text})
        given = {
            "messages": messages,
            "state": self.state,
            "tools": self.tools,
            "protocolVersion": "1.0",
            **fields,
        }
        return run_input(thread=self.thread, run=run, **given)


async def _body(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response])
