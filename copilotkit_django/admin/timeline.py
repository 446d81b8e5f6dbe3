"""The events of a run, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from copilotkit_django.admin.wording import excerpt, pretty
from copilotkit_django.events.wire import decode
from copilotkit_django.models import Run, Segment

#: Events on one page.
EVENTS = 100

#: What says most about an event, in a line.
_TELLING = (
    "delta",
    "toolCallName",
    "stepName",
    "activityType",
    "message",
    "name",
    "content",
    "snapshot",
    "patch",
    "outcome",
    "messages",
    "messageId",
    "toolCallId",
    "runId",
)


@dataclass(slots=True)
class Entry:
    """An event as it is shown."""

    number: int
    kind: str
    #: What it belongs to: ``RUN``, ``TEXT``, ``TOOL``, ``STATE`` and so on, in lower case.
    family: str
    summary: str
    json: str
    #: Seconds after the start of the run, if the event says when it was sent.
    at: float | None = None


@dataclass(slots=True)
class Timeline:
    """A page of events; ``first`` and ``last`` are counted from 1."""

    form: str
    total: int
    entries: list[Entry] = field(default_factory=list)
    first: int = 0
    last: int = 0
    previous: int | None = None
    next: int | None = None
    last_page: int = 0
    #: The run's events are kept as they were sent, too.
    has_raw: bool = False
    has_compacted: bool = False


def timeline_of(run: Run, *, form: str, start: int) -> Timeline:
    """Events from number ``start`` on, of the run as it was sent (``raw``) or as it is kept."""
    segments = Segment.objects.filter(run=run)
    ends = list(segments.order_by("-first").values_list("last", flat=True)[:1])
    has_compacted = run.compacted is not None
    form = "raw" if ends and (form == "raw" or not has_compacted) else "compacted"
    if form == "raw":
        total = max(ends[0] + 1, run.event_count or 0)
        start = _clamped(start, total)
        # A segment holds an event at least.
        pieces = segments.filter(last__gte=start).order_by("first")[:EVENTS]
        found = [
            (segment.first + index, event)
            for segment in pieces
            for index, event in enumerate(bytes(segment.data).split(b"\n"))
            if segment.first + index >= start
        ][:EVENTS]
    else:
        events = bytes(run.compacted or b"").split(b"\n") if run.compacted else []
        total = len(events)
        start = _clamped(start, total)
        found = list(enumerate(events[start : start + EVENTS], start))
    timeline = Timeline(form, total, has_raw=bool(ends), has_compacted=has_compacted)
    timeline.entries = [_entry(number, decode(event), run) for number, event in found]
    if found:
        timeline.first, timeline.last = found[0][0] + 1, found[-1][0] + 1
    timeline.previous = max(0, start - EVENTS) if start else None
    timeline.last_page = max(0, total - 1) // EVENTS * EVENTS
    timeline.next = timeline.last if found and timeline.last < total else None
    return timeline


def _clamped(start: int, total: int) -> int:
    return max(0, min(start, total - 1))


def _entry(number: int, event: dict[str, Any], run: Run) -> Entry:
    kind = excerpt(event.get("type", ""), 50)
    at = None
    timestamp = event.get("timestamp")
    if isinstance(timestamp, int | float):
        at = round(timestamp / 1000 - run.started_at.timestamp(), 3)
    family = kind.split("_")[0].lower()
    return Entry(number + 1, kind, family, _summary(event), pretty(event), at)


def _summary(event: dict[str, Any]) -> str:
    if event.get("type") == "RUN_STARTED":
        said = (event.get("input") or {}).get("messages") or ()
        texts = [message.get("content") for message in said if message.get("role") == "user"]
        value: Any = texts[-1] if texts else event.get("runId", "")
    else:
        value = next((event[key] for key in _TELLING if event.get(key) not in (None, "")), "")
        if event.get("type") == "STATE_DELTA":
            value = event.get("delta")
    text = value if isinstance(value, str) else pretty(value, 400)
    words = " ".join(excerpt(text, 400).split())
    return words if len(words) <= 160 else words[:159] + "…"
