"""Expansion of ``*_CHUNK`` events, a shorthand that is never sent to clients."""

from typing import Any, Final, NamedTuple

from copilotkit_django.events.wire import InvalidEvent

Event = dict[str, Any]


class _Kind(NamedTuple):
    name: str
    id_key: str
    start: str
    content: str
    end: str


_KINDS: Final = {
    "TEXT_MESSAGE_CHUNK": _Kind(
        "text message",
        "messageId",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
    ),
    "TOOL_CALL_CHUNK": _Kind(
        "tool call", "toolCallId", "TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END"
    ),
    "REASONING_MESSAGE_CHUNK": _Kind(
        "reasoning message",
        "messageId",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END",
    ),
}

#: Events that say nothing about the conversation's flow and leave what chunks opened open.
_ASIDE: Final = frozenset(
    ("RAW", "ACTIVITY_SNAPSHOT", "ACTIVITY_DELTA", "REASONING_ENCRYPTED_VALUE", "SUBAGENT_STARTED")
)
#: Events about the run as a whole, which close what any subagent has open.
_RUN_WIDE: Final = frozenset(("RUN_STARTED", "RUN_FINISHED", "RUN_ERROR", "MESSAGES_SNAPSHOT"))


class _Stream(NamedTuple):
    kind: _Kind
    id: str
    owner: str | None

    def event(self, event_type: str, **fields: Any) -> Event:
        event = {"type": event_type, self.kind.id_key: self.id, **fields}
        if self.owner is not None:
            event["subagentRunId"] = self.owner
        return event


class ChunkExpander:
    """Turns the chunks of one run into start, content and end events.

    The agent and each of its subagents may have one stream of chunks open at a time; another
    one, or nearly any other event of the same producer, closes it.
    """

    __slots__ = ("_open", "is_open")

    def __init__(self) -> None:
        self._open: dict[str | None, _Stream] = {}
        self.is_open = False
        """A stream of chunks is open; while none is, only chunks need expanding."""

    def expand(self, event: Event) -> list[Event]:
        """Return what to send for ``event``. Raises InvalidEvent for a chunk of nothing."""
        event_type = event["type"]
        kind = _KINDS.get(event_type)
        if kind is not None:
            events = self._chunk(kind, event)
        elif not self.is_open or event_type in _ASIDE:
            return [event]
        elif event_type in _RUN_WIDE:
            events = [*self.finish(), event]
        else:
            events = [*self._close(event.get("subagentRunId")), event]
        self.is_open = bool(self._open)
        return events

    def finish(self) -> list[Event]:
        """Return the ends of all that is open, as if the stream were over."""
        events = [end for owner in list(self._open) for end in self._close(owner)]
        self.is_open = False
        return events

    def _close(self, owner: str | None) -> list[Event]:
        stream = self._open.pop(owner, None)
        return [] if stream is None else [stream.event(stream.kind.end)]

    def _chunk(self, kind: _Kind, chunk: Event) -> list[Event]:
        chunk_id = chunk.get(kind.id_key)
        owner = self._owner(kind, chunk, chunk_id)
        stream = self._open.get(owner)
        metadata = {"metadata": chunk["metadata"]} if "metadata" in chunk else {}
        events: list[Event] = []
        if stream is None or stream.kind is not kind or chunk_id not in (None, stream.id):
            if chunk_id is None:
                raise InvalidEvent(f"{chunk['type']}: the first chunk needs a {kind.id_key}.")
            start: Event = {}
            if kind.start == "TEXT_MESSAGE_START":
                start["role"] = chunk.get("role", "assistant")
                if "name" in chunk:
                    start["name"] = chunk["name"]
            elif kind.start == "REASONING_MESSAGE_START":
                start["role"] = "reasoning"
            else:
                if "toolCallName" not in chunk:
                    raise InvalidEvent(f"{chunk['type']}: the first chunk needs a toolCallName.")
                start["toolCallName"] = chunk["toolCallName"]
                if "parentMessageId" in chunk:
                    start["parentMessageId"] = chunk["parentMessageId"]
            events += self._close(owner)
            stream = self._open[owner] = _Stream(kind, chunk_id, owner)
            events.append(stream.event(kind.start, **start, **metadata))
        if "delta" in chunk:
            events.append(stream.event(kind.content, delta=chunk["delta"], **metadata))
        elif metadata and not events:
            events.append(stream.event(kind.content, delta="", **metadata))
        return events

    def _owner(self, kind: _Kind, chunk: Event, chunk_id: str | None) -> str | None:
        """Find whose stream a chunk continues; chunks after the first may name neither."""
        tag: str | None = chunk.get("subagentRunId")
        streams = [stream for stream in self._open.values() if stream.kind is kind]
        if chunk_id is not None:
            for stream in streams:
                if stream.id == chunk_id:
                    if tag not in (None, stream.owner):
                        raise InvalidEvent(
                            f"{chunk['type']}: {kind.name} {chunk_id!r}"
                            f" does not belong to subagent {tag!r}."
                        )
                    return stream.owner
            return tag
        if tag is not None or not streams:
            return tag
        owners = [stream.owner for stream in streams]
        if None in owners:
            return None
        if len(owners) > 1:
            raise InvalidEvent(
                f"{chunk['type']}: neither a {kind.id_key} nor a subagentRunId tells"
                f" which {kind.name} it belongs to."
            )
        return owners[0]
