"""What agents yield, brought into the one form that everything after them sees."""

from __future__ import annotations

import logging
from typing import Any

from copilotkit_django.events.chunks import ChunkExpander
from copilotkit_django.events.legacy import ThinkingTranslator
from copilotkit_django.events.wire import UnknownEventType, to_wire, validate

logger = logging.getLogger("copilotkit.run")


class Normalizer:
    """Turns what one agent yields during one run into valid events in wire form.

    Models are dumped, legacy types translated, missing ids of the run filled in, shapes checked,
    chunks expanded into starts, contents and ends. What went through once goes through unchanged.
    """

    __slots__ = ("_run_id", "_thinking", "_thread_id", "chunks")

    def __init__(self, thread_id: str, run_id: str) -> None:
        self.chunks = ChunkExpander()
        self._thread_id = thread_id
        self._run_id = run_id
        self._thinking = ThinkingTranslator()

    def take(self, event: object) -> list[dict[str, Any]]:
        """The events that stand for one the agent yielded.

        None for a type AG-UI does not know, which is logged. Raises `InvalidEvent` for a known type
        of wrong shape.
        """
        wire = self._thinking.translate(to_wire(event))
        if wire.get("type") in ("RUN_STARTED", "RUN_FINISHED"):
            wire = self._with_ids(wire)
        try:
            wire = validate(wire)
        except UnknownEventType:
            logger.warning("Dropped an event of unknown type %r.", str(wire.get("type"))[:100])
            return []
        return self.chunks.expand(wire)

    def finish(self) -> list[dict[str, Any]]:
        """The ends of what chunks have left open."""
        return self.chunks.finish()

    def _with_ids(self, wire: dict[str, Any]) -> dict[str, Any]:
        if wire.get("threadId") is None or wire.get("runId") is None:
            known = {key: value for key, value in wire.items() if value is not None}
            return {"threadId": self._thread_id, "runId": self._run_id, **known}
        return wire
