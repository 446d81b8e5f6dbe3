"""What pydantic-ai streams of one answer, as AG-UI events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from copilotkit_django.agents.builtin.sealing import sealed
from copilotkit_django.agents.builtin.speech import Event, Speech

if TYPE_CHECKING:
    from pydantic_ai.messages import (
        ModelResponsePart,
        ModelResponsePartDelta,
        ModelResponseStreamEvent,
    )

#: Ids that number the parts of one answer and would come again in the next.
_NUMBERED = re.compile(r"(?:\w{1,12}-)?\d+")
_DIGIT = re.compile(r"\d")


class ResponseStream:
    """Translates the events of one answer."""

    def __init__(self) -> None:
        self._speech = Speech()

    def feed(self, event: ModelResponseStreamEvent) -> Iterator[Event]:
        """The events to send for one of the model."""
        if event.event_kind == "part_start":
            yield from self._start(event.index, event.part)
        elif event.event_kind == "part_delta":
            yield from self._delta(event.index, event.delta)
        elif event.event_kind == "part_end":
            yield from self._end(event.index, event.part)

    def finish(self) -> Iterator[Event]:
        """The ends of what is open."""
        yield from self._speech.finish()

    def _start(self, index: int, part: ModelResponsePart) -> Iterator[Event]:
        speech = self._speech
        if part.part_kind == "thinking":
            yield from speech.begin_reasoning(_own_id(part.id))
            yield from speech.think(part.content)
        elif part.part_kind == "text":
            yield from speech.begin_text()
            yield from speech.say(part.content)
        elif part.part_kind == "tool-call":
            yield from speech.begin_call(index, part.tool_call_id, part.tool_name)
            # A mapping is the whole of them, and is told at the end.
            if isinstance(part.args, str):
                yield from speech.argue(index, part.args)

    def _delta(self, index: int, delta: ModelResponsePartDelta) -> Iterator[Event]:
        if delta.part_delta_kind == "text":
            yield from self._speech.say(delta.content_delta)
        elif delta.part_delta_kind == "thinking":
            yield from self._speech.think(delta.content_delta)
        elif delta.part_delta_kind == "tool_call" and isinstance(delta.args_delta, str):
            yield from self._speech.argue(index, delta.args_delta)

    def _end(self, index: int, part: ModelResponsePart) -> Iterator[Event]:
        if part.part_kind == "thinking":
            yield from self._speech.seal_reasoning(sealed(part))
            yield from self._speech.end_reasoning()
        elif part.part_kind == "tool-call":
            yield from self._speech.end_call(index, part.args_as_json_str())


def _own_id(provider_id: str | None) -> str:
    """The provider's id where it names one thing among all; otherwise a new one is made."""
    if not provider_id or _NUMBERED.fullmatch(provider_id) or not _DIGIT.search(provider_id):
        return ""
    return provider_id
