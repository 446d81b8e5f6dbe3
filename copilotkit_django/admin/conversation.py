"""A thread as its people saw it: what was said in each run, tools and their results, the state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from copilotkit_django.admin.wording import duration, excerpt, pretty, pretty_if_json, tokens
from copilotkit_django.events.snapshot import Conversation, state
from copilotkit_django.events.wire import decode
from copilotkit_django.models import Run, Segment, Thread

#: Runs on one page.
RUNS = 10

#: Of a run, so many events are looked at.
EVENTS = 5_000

#: And of one that is live, no more pieces than this.
SEGMENTS = 500

ROLES = {
    "user": pgettext_lazy("who speaks", "User"),
    "assistant": pgettext_lazy("who speaks", "Assistant"),
    "system": pgettext_lazy("who speaks", "System"),
    "developer": pgettext_lazy("who speaks", "Developer"),
    "reasoning": gettext_lazy("Reasoning"),
    "tool": gettext_lazy("Tool result"),
    "activity": gettext_lazy("Activity"),
}


@dataclass(slots=True)
class Call:
    """A tool call; without a result it has none yet."""

    name: str
    arguments: str
    result: str | None = None


@dataclass(slots=True)
class Message:
    """A message as it is shown. ``kind`` is one of `ROLES`, or empty."""

    kind: str
    label: str
    text: str = ""
    attachments: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    #: The text is data, to be shown as it is set.
    is_data: bool = False


@dataclass(slots=True)
class Turn:
    """A run of the thread, and the messages it brought."""

    run: Run
    messages: list[Message]
    #: What the agent waits for, if it has interrupted itself.
    interrupts: str = ""
    is_cut: bool = False

    @property
    def duration(self) -> str:
        return duration(self.run)

    @property
    def tokens(self) -> str:
        return tokens(self.run)


@dataclass(slots=True)
class Page:
    """Some runs of a thread in order; ``older`` and ``newer`` are positions to go on from."""

    turns: list[Turn]
    state: str = ""
    older: int | None = None
    newer: int | None = None


def page_of(
    thread: Thread, *, before: int | None = None, after: int | None = None, with_content: bool
) -> Page:
    """The latest runs of a thread, or those next to a position."""
    runs = Run.objects.filter(thread=thread).in_history().defer("input")
    if not with_content:
        runs = runs.defer("input", "compacted", "error")
    if after is not None:
        found = list(runs.filter(position__gt=after)[: RUNS + 1])
        shown = found[:RUNS]
        has_older, has_newer = True, len(found) > RUNS
    else:
        if before is not None:
            runs = runs.filter(position__lt=before)
        found = list(runs.order_by("-position")[: RUNS + 1])
        shown = found[:RUNS][::-1]
        has_older, has_newer = len(found) > RUNS, before is not None
    page = Page([])
    if shown:
        page.older = shown[0].position if has_older else None
        page.newer = shown[-1].position if has_newer else None
    if with_content:
        _tell(page, shown)
    else:
        page.turns = [Turn(run, []) for run in shown]
    return page


def _tell(page: Page, runs: Iterable[Run]) -> None:
    story = _Story()
    everything: list[dict[str, Any]] = []
    for run in runs:
        events, is_cut = _events_of(run)
        everything += events
        page.turns.append(Turn(run, story.messages(events), _interrupts(events), is_cut))
    document = state(everything)
    page.state = "" if document is None else pretty(document)


def _events_of(run: Run) -> tuple[list[dict[str, Any]], bool]:
    """The first events of a run, and whether there are more."""
    if run.compacted is not None:
        data = bytes(run.compacted)
    else:
        segments = Segment.objects.filter(run=run).order_by("first").values_list("data", flat=True)
        data = b"\n".join(bytes(piece) for piece in segments[:SEGMENTS])
    lines = [line for line in data.split(b"\n", EVENTS) if line]
    is_cut = len(lines) > EVENTS
    return [decode(line) for line in lines[:EVENTS]], is_cut


def _interrupts(events: list[dict[str, Any]]) -> str:
    outcome = events[-1].get("outcome") if events else None
    if isinstance(outcome, dict) and outcome.get("type") == "interrupt":
        return pretty(outcome.get("interrupts"))
    return ""


class _Story:
    """Tells run after run what has not been told yet: snapshots bring messages again."""

    def __init__(self) -> None:
        self._conversation = Conversation()
        self._told: dict[str, Any] = {}
        self._calls: dict[str, Call] = {}

    def messages(self, events: list[dict[str, Any]]) -> list[Message]:
        for event in events:
            self._conversation.apply(event)
        return [
            shown
            for message in self._conversation.finish()
            if self._is_news(message) and (shown := self._shown(message)) is not None
        ]

    def _is_news(self, message: dict[str, Any]) -> bool:
        calls = [dict(call["function"]) for call in message.get("toolCalls") or ()]
        says = (message.get("content"), calls)
        if self._told.get(message["id"]) == says:
            return False
        self._told[message["id"]] = says
        return True

    def _shown(self, message: dict[str, Any]) -> Message | None:
        role = message["role"]
        content = message.get("content")
        if role == "tool":
            call = self._calls.get(message["toolCallId"])
            if call is not None:
                call.result = pretty_if_json(_plain(content))
                return None
        shown = Message(
            kind=role if role in ROLES else "", label=str(ROLES.get(role, excerpt(role, 100)))
        )
        if role == "activity":
            shown.label += f": {excerpt(message.get('activityType', ''), 100)}"
            shown.text, shown.is_data = pretty(content), True
        elif role == "tool":
            shown.text, shown.is_data = pretty_if_json(_plain(content)), True
        elif isinstance(content, list):
            shown.text = excerpt(_plain(content))
            shown.attachments = [_attachment(part) for part in content if not _is_text(part)]
        else:
            shown.text = excerpt(content or "")
        for call in message.get("toolCalls") or ():
            function = call["function"]
            told = Call(excerpt(function["name"], 200), pretty_if_json(function["arguments"]))
            self._calls[call["id"]] = told
            shown.calls.append(told)
        return shown if shown.text or shown.attachments or shown.calls else None


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text"


def _plain(content: Any) -> Any:
    """The text of a message in parts."""
    if not isinstance(content, list):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if _is_text(part))


def _attachment(part: Any) -> str:
    """What a part of a message is, without what is in it."""
    if not isinstance(part, dict):
        return _("attachment")
    source = part.get("source")
    about = [part.get("type"), part.get("filename"), part.get("mimeType")]
    if isinstance(source, dict):
        about.append(source.get("mimeType"))
    return excerpt(", ".join(str(word) for word in about if word), 200) or _("attachment")
