"""What a framework streams, brought to what clients can rely on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from copilotkit_django.agents.base import RunContext
from copilotkit_django.events.chunks import ChunkExpander
from copilotkit_django.events.snapshot import Conversation
from copilotkit_django.events.wire import decode, to_wire

logger = logging.getLogger("copilotkit.run")

Wire = dict[str, Any]

#: Messages a snapshot of which may hold none of: clients keep theirs.
KEPT_ROLES = ("activity", "reasoning")

#: Messages that are nobody's business but the model's, unless the client sent them itself.
HIDDEN_ROLES = ("system", "developer")


_NOTHING = object()


class FrameworkError(Exception):
    """A framework ended the run with an error event. The text is the framework's."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class FrameworkStream:
    """Takes the events of one run as a framework yields them, gives them in wire form.

    - ``RAW`` events and ``rawEvent`` fields are dropped, unless ``raw``.
    - There is one ``RUN_STARTED``, first, and one terminal event, last; both bear the ids of the
      client. What follows the framework's own terminal event is ignored. A ``RUN_ERROR`` is raised
      as `FrameworkError`, so that its text does not reach the wire.
    - Chunks become start, content and end.
    - Messages in a ``MESSAGES_SNAPSHOT`` get the ids the client knows them by, whatever the
      framework calls them; system prompts are left out of it. With ``replace`` false it takes no
      message away. One that changes nothing is dropped; a result that stands in one and was not
      streamed is streamed. A ``STATE_SNAPSHOT`` that says what the last one said is dropped.
    - A run that finishes without an outcome names the calls that have no result as pending.
    """

    def __init__(self, context: RunContext, *, raw: bool = False, replace: bool = False) -> None:
        self._context = context
        self._raw = raw
        self._replace = replace
        self._chunks = ChunkExpander()
        self._conversation = Conversation()
        self._started = False
        self._finished: Wire | None = None
        #: The calls of this run that have no result, and all their ids.
        self._pending: list[str] = []
        self._called: set[str] = set()
        #: The last snapshot of the state, while it holds.
        self._state: Any = _NOTHING

    def feed(self, event: object) -> Iterator[Wire]:
        """What an event amounts to. ``event`` is a model, a mapping, or a text of SSE frames."""
        for wire in wires(event):
            yield from self._take(wire)

    def finish(self) -> Iterator[Wire]:
        """The framework has no more to say, and nothing went wrong."""
        yield from self._begin()
        for event in self._chunks.finish():
            yield self._told(event)
        yield self._ending()

    def _take(self, wire: Wire) -> Iterator[Wire]:
        kind = str(wire.get("type"))
        if self._finished is not None:
            logger.debug("Dropped a %s after the end of a run.", kind)
            return
        if kind == "RAW" and not self._raw:
            return
        if kind == "RUN_ERROR":
            raise FrameworkError(str(wire.get("message")), wire.get("code"))
        yield from self._begin()
        if kind == "RUN_STARTED":
            return
        if kind == "RUN_FINISHED":
            self._finished = wire
            return
        if not self._raw and wire.get("rawEvent") is not None:
            wire = {key: value for key, value in wire.items() if key != "rawEvent"}
        for event in self._chunks.expand(wire):
            if event.get("type") == "MESSAGES_SNAPSHOT":
                yield from self._snapshot(event)
            elif not self._is_known_state(event):
                yield self._told(event)

    def _is_known_state(self, event: Wire) -> bool:
        kind = event.get("type")
        if kind == "STATE_DELTA":
            self._state = _NOTHING
        if kind != "STATE_SNAPSHOT":
            return False
        before, self._state = self._state, event.get("snapshot")
        return before is not _NOTHING and before == self._state

    def _begin(self) -> Iterator[Wire]:
        if not self._started:
            self._started = True
            messages = self._context.messages
            self._conversation.apply({"type": "RUN_STARTED", "input": {"messages": messages}})
            yield self._context.started()

    def _told(self, event: Wire) -> Wire:
        """Note what the client learns from an event."""
        self._conversation.apply(event)
        kind = event.get("type")
        if kind == "TOOL_CALL_START":
            call_id = event["toolCallId"]
            if call_id not in self._called:
                self._called.add(call_id)
                self._pending.append(call_id)
        elif kind == "TOOL_CALL_RESULT" and event["toolCallId"] in self._pending:
            self._pending.remove(event["toolCallId"])
        return event

    def _ending(self) -> Wire:
        ids = ("type", "threadId", "runId", "rawEvent")
        known = {k: v for k, v in (self._finished or {}).items() if k not in ids and v is not None}
        if self._pending and "outcome" not in known:
            known["outcome"] = {"type": "success", "pendingToolCallIds": self._pending}
        return self._context.finished(**known)

    def _snapshot(self, event: Wire) -> Iterator[Wire]:
        held = self._conversation.finish()
        messages = aligned(held, event["messages"], replace=self._replace)
        for message in messages:
            call_id = message.get("toolCallId")
            if message["role"] == "tool" and call_id in self._pending:
                yield self._told(
                    {
                        "type": "TOOL_CALL_RESULT",
                        "messageId": message["id"],
                        "toolCallId": call_id,
                        "content": message["content"],
                        "role": "tool",
                    }
                )
        held = self._conversation.finish()
        if _without_empty(messages) != _without_empty(held):
            # After it, a client holds just that: the conversation must not share the messages.
            yield self._told({**event, "messages": messages})


def aligned(held: list[Wire], snapshot: Iterable[Wire], *, replace: bool) -> list[Wire]:
    """The messages of a snapshot by the ids under which a client holds them.

    ``held`` are the messages of the client. One it holds is recognised by its id, by the id of a
    tool call, or as the next one of its role with the same text; it is then left as it is, except
    that one of the same id and other content is what the framework makes of it. An answer that the
    client holds as several messages stays several. Without ``replace`` what the snapshot does not
    mention stays where it is.
    """
    by_id = {message["id"]: message for message in held}
    by_call = {call["id"]: message for message in held for call in message.get("toolCalls") or ()}
    results = {m["toolCallId"]: m for m in held if m["role"] == "tool"}
    texts: dict[tuple[str, str], list[Wire]] = {}
    for message in held:
        texts.setdefault(_spoken(message), []).append(message)
    found: dict[str, Wire] = {}

    def take(message: Wire) -> None:
        found.setdefault(message["id"], message)
        same = texts.get(_spoken(by_id.get(message["id"], message)), [])
        if same and same[0]["id"] == message["id"]:
            same.pop(0)

    for message in snapshot:
        role = message["role"]
        mine = by_id.get(message["id"])
        if role in HIDDEN_ROLES and mine is None:
            continue
        if role == "tool" and message["toolCallId"] in results:
            take(results[message["toolCallId"]])
            continue
        if mine is not None and mine["role"] == role:
            take(message if role == "assistant" and not _same(mine, message) else mine)
            continue
        calls = message.get("toolCalls") or ()
        parts = []
        if same := texts.get(_spoken(message)):
            parts.append(same[0])
        parts += [by_call[call["id"]] for call in calls if call["id"] in by_call]
        for part in parts or [message]:
            take(part)
    left = [message for message in held if message["id"] not in found]
    if replace:
        roles = {message["role"] for message in found.values()}
        left = [m for m in left if m["role"] in KEPT_ROLES and m["role"] not in roles]
    return _in_place(held, list(found.values()), left)


def _in_place(held: list[Wire], messages: list[Wire], kept: list[Wire]) -> list[Wire]:
    """Put the kept messages after those they follow in ``held``."""
    if not kept:
        return messages
    keep = {message["id"] for message in kept}
    followers: dict[str | None, list[Wire]] = {}
    here = {message["id"] for message in messages}
    last: str | None = None
    for message in held:
        if message["id"] in keep:
            followers.setdefault(last, []).append(message)
        elif message["id"] in here:
            last = message["id"]
    merged = followers.get(None, [])
    for message in messages:
        merged += [message, *followers.get(message["id"], [])]
    return merged


def _spoken(message: Wire) -> tuple[str, str]:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if part.get("type") == "text")
    # Nobody's words are recognised by there being none.
    text = content.strip() if isinstance(content, str) else ""
    return (message["role"], text or f"\0{message['id']}")


def _same(one: Wire, other: Wire) -> bool:
    return _without_empty([one]) == _without_empty([other])


def _without_empty(messages: list[Wire]) -> list[Wire]:
    """Messages as they compare: an empty text, an empty list and nothing at all are one."""
    return [{k: v for k, v in message.items() if v not in (None, "", [])} for message in messages]


def wires(event: object) -> Iterator[Wire]:
    """The events in a model, a mapping, or a text of SSE frames."""
    if not isinstance(event, str):
        yield to_wire(event)
        return
    for frame in event.split("\n\n"):
        # Not splitlines(): JSON may hold line separators of Unicode as they are.
        lines = [line[5:].removeprefix(" ") for line in frame.split("\n") if line[:5] == "data:"]
        if lines:
            yield decode("\n".join(lines).encode())
