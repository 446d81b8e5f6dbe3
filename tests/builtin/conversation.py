"""What a client holds of a conversation: enough to send its next message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from copilotkit_django.events.snapshot import Conversation
from tests.talk import Event, run_input


class Page:
    """A page that remembers: feed it the events of a run, ask it for the next input."""

    def __init__(self, **fields: Any) -> None:
        #: What it sends with each run: tools, context, forwardedProps …
        self.fields = fields
        self.messages: list[Event] = []
        self._runs = 0

    def say(self, text: Any, **fields: Any) -> dict[str, Any]:
        """The input of a run with another message of the user."""
        self.messages.append({"id": f"u{len(self.messages)}", "role": "user", "content": text})
        return self.go_on(**fields)

    def answer(self, call_id: str, content: str) -> dict[str, Any]:
        """The input of the run after a tool of the page has been called."""
        self.messages.append(
            {
                "id": f"t{len(self.messages)}",
                "role": "tool",
                "toolCallId": call_id,
                "content": content,
            }
        )
        return self.go_on()

    def resume(self, *entries: Mapping[str, Any]) -> dict[str, Any]:
        """The input of a run that answers interrupts."""
        return self.go_on(resume=list(entries))

    def go_on(self, **fields: Any) -> dict[str, Any]:
        self._runs += 1
        wire = {"messages": self.messages, **self.fields, **fields}
        return run_input(run=f"r{self._runs}", **wire)

    def hear(self, events: Iterable[Event]) -> list[Event]:
        """Take in the events of a run; returns them."""
        heard = list(events)
        conversation = Conversation()
        echo = {"messages": self.messages, "tools": [], "context": []}
        started = {"type": "RUN_STARTED", "threadId": "t1", "runId": "r", "input": echo}
        for event in [started, *(e for e in heard if e["type"] != "RUN_STARTED")]:
            conversation.apply(event)
        self.messages = conversation.finish()
        for event in heard:
            if event["type"] == "REASONING_ENCRYPTED_VALUE":
                (message,) = (m for m in self.messages if m["id"] == event["entityId"])
                message["encryptedValue"] = event["encryptedValue"]
        return heard


def called(events: Iterable[Event], name: str) -> str:
    """The id of the call of that tool."""
    return next(
        event["toolCallId"]
        for event in events
        if event["type"] == "TOOL_CALL_START" and event["toolCallName"] == name
    )


def results(events: Iterable[Event]) -> dict[str, str]:
    """The results in a run, by call id."""
    return {
        event["toolCallId"]: event["content"]
        for event in events
        if event["type"] == "TOOL_CALL_RESULT"
    }
