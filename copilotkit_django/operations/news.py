"""What of a thread's history is new to a client that has some of it.

The official client connects again to the thread it shows when it is told that something runs
there. It keeps what it has and sends that along, and what it is sent it adds: a message sent once
more would be there with its text twice. So it is sent the runs it does not know, from the first one
on. Of a run it has only half of, the half is taken back before the run is sent whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from typing import Any

from copilotkit_django.events.pipeline import TERMINAL
from copilotkit_django.events.wire import decode, encode
from copilotkit_django.runners.log import Batch


async def new_to(
    messages: Iterable[Mapping[str, Any]], reader: AsyncIterator[Batch]
) -> AsyncIterator[Batch]:
    """The same reader from the first run on whose outcome is not in ``messages``."""
    known = _Known(messages)
    run: list[bytes] = []
    is_new = False
    async with aclosing(reader) as batches:  # type: ignore[type-var]
        async for batch in batches:
            if is_new or not batch:
                yield batch
                continue
            for number, data in enumerate(batch):
                run.append(data)
                event = decode(data)
                if known.lacks(event):
                    is_new = True
                    yield Batch([*known.taking_back(), *run, *batch[number + 1 :]])
                    break
                if event["type"] in TERMINAL:
                    run = []
                    known.begin()


class _Known:
    """What a client has, compared with one run after the other."""

    def __init__(self, messages: Iterable[Mapping[str, Any]]) -> None:
        self._messages = list(messages)
        #: Texts and arguments, by the ids of messages and tool calls.
        self._texts: dict[str, str] = {}
        self._results: set[str] = set()
        for message in self._messages:
            content = message.get("content")
            self._texts[message["id"]] = content if isinstance(content, str) else ""
            for call in message.get("toolCalls") or ():
                self._texts[call["id"]] = call["function"]["arguments"]
            if message["role"] == "tool":
                self._results.add(message["toolCallId"])
        self.begin()

    def begin(self) -> None:
        """The events that follow are those of another run."""
        #: How much of each text the run has said.
        self._said: dict[str, int] = {}

    def lacks(self, event: Mapping[str, Any]) -> bool:
        """Whether an event brings something the client does not have."""
        kind = event["type"]
        if kind == "RUN_STARTED":
            asked = (event.get("input") or {}).get("messages") or ()
            return any(each["id"] not in self._texts for each in asked)
        if kind in ("TEXT_MESSAGE_START", "TOOL_CALL_START"):
            return not self._begins(event.get("toolCallId") or event["messageId"])
        if kind in ("TEXT_MESSAGE_CONTENT", "TOOL_CALL_ARGS"):
            return not self._goes_on(event.get("toolCallId") or event["messageId"], event["delta"])
        if kind == "TOOL_CALL_RESULT":
            return event["toolCallId"] not in self._results
        if kind in TERMINAL:
            return any(said != len(self._texts[id]) for id, said in self._said.items())
        return False

    def _begins(self, id: str) -> bool:
        if id not in self._texts:
            return False
        self._said[id] = 0
        return True

    def _goes_on(self, id: str, delta: str) -> bool:
        if id not in self._texts:
            return False
        said = self._said.get(id, 0)
        self._said[id] = said + len(delta)
        return self._texts[id].startswith(delta, said)

    def taking_back(self) -> list[bytes]:
        """What has the client forget its part of the run that is sent whole."""
        if not self._said:
            return []
        kept = [message for message in self._messages if not self._is_of_the_run(message)]
        return [encode({"type": "MESSAGES_SNAPSHOT", "messages": kept})]

    def _is_of_the_run(self, message: Mapping[str, Any]) -> bool:
        calls = [call["id"] for call in message.get("toolCalls") or ()]
        ids = {message["id"], message.get("toolCallId"), *calls}
        return not ids.isdisjoint(self._said)
