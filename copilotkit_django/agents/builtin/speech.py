"""One answer of a model, as AG-UI events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

Event = dict[str, Any]


class Speech:
    """Says an answer piece by piece, whoever streams it; every method yields the events to send.

    Texts become chunks, which the runner expands; reasoning is one message in one span of the same
    id; a call is attached to the text before it, or to a message of its own. Calls are known by a
    key of the caller's while they are open.
    """

    def __init__(self) -> None:
        self._message_id = str(uuid4())
        #: The message has been named in the stream.
        self._is_used = False
        self._reasoning: str | None = None
        #: Calls whose arguments may still come.
        self._open: dict[Any, str] = {}
        #: Calls that have streamed arguments.
        self._told: set[str] = set()

    def begin_reasoning(self, id: str = "") -> Iterator[Event]:
        """The model begins to think."""
        yield from self.end_reasoning()
        self._reasoning = id or str(uuid4())
        yield {"type": "REASONING_START", "messageId": self._reasoning}
        yield {
            "type": "REASONING_MESSAGE_START",
            "messageId": self._reasoning,
            "role": "reasoning",
        }

    def think(self, text: str | None) -> Iterator[Event]:
        """A piece of what the model thinks."""
        if not text:
            return
        if self._reasoning is None:
            yield from self.begin_reasoning()
        yield {"type": "REASONING_MESSAGE_CONTENT", "messageId": self._reasoning, "delta": text}

    def seal_reasoning(self, value: str) -> Iterator[Event]:
        """What the provider wants back with the reasoning, if anything; clients keep it."""
        if value and self._reasoning is not None:
            yield {
                "type": "REASONING_ENCRYPTED_VALUE",
                "subtype": "message",
                "entityId": self._reasoning,
                "encryptedValue": value,
            }

    def end_reasoning(self) -> Iterator[Event]:
        """The model has thought enough, if it did."""
        if self._reasoning is not None:
            yield {"type": "REASONING_MESSAGE_END", "messageId": self._reasoning}
            yield {"type": "REASONING_END", "messageId": self._reasoning}
            self._reasoning = None

    def begin_text(self) -> Iterator[Event]:
        """Another text: not the one before it, and not the one a call is attached to."""
        yield from self.end_reasoning()
        if self._is_used:
            self._message_id, self._is_used = str(uuid4()), False

    def say(self, text: str | None) -> Iterator[Event]:
        """A piece of a text."""
        if not text:
            return
        yield from self.end_reasoning()
        self._is_used = True
        yield {
            "type": "TEXT_MESSAGE_CHUNK",
            "role": "assistant",
            "messageId": self._message_id,
            "delta": text,
        }

    def begin_call(self, key: Any, call_id: str, name: str) -> Iterator[Event]:
        """A call of a tool; its arguments follow."""
        yield from self.end_reasoning()
        self._open[key] = call_id
        self._is_used = True
        yield {
            "type": "TOOL_CALL_START",
            "toolCallId": call_id,
            "toolCallName": name,
            "parentMessageId": self._message_id,
        }

    def argue(self, key: Any, text: str | None) -> Iterator[Event]:
        """A piece of the arguments of an open call."""
        call_id = self._open.get(key)
        if text and call_id is not None:
            self._told.add(call_id)
            yield {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": text}

    def end_call(self, key: Any, arguments: str = "") -> Iterator[Event]:
        """An open call is complete; ``arguments`` are sent if none were."""
        call_id = self._open.get(key)
        if call_id is None:
            return
        if call_id not in self._told:
            yield from self.argue(key, arguments or "{}")
        del self._open[key]
        yield {"type": "TOOL_CALL_END", "toolCallId": call_id}

    def open_call(self, key: Any) -> str | None:
        """The id of the open call of that key."""
        return self._open.get(key)

    def finish(self) -> Iterator[Event]:
        """The answer is over: the ends of what is open."""
        yield from self.end_reasoning()
        for key in list(self._open):
            yield from self.end_call(key)
