"""Compaction: the same conversation in fewer events, for storage and replay."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

from copilotkit_django.events.activities import Activities
from copilotkit_django.events.state import UNKNOWN, fold, merge_metadata

Event = dict[str, Any]

_DELTAS: Final = frozenset(("TEXT_MESSAGE_CONTENT", "TOOL_CALL_ARGS"))
_STATE: Final = frozenset(("STATE_SNAPSHOT", "STATE_DELTA"))
_ACTIVITIES: Final = frozenset(("ACTIVITY_SNAPSHOT", "ACTIVITY_DELTA"))
_BOUNDARIES: Final = frozenset(("RUN_STARTED", "RUN_FINISHED", "RUN_ERROR"))


class _Stream:
    """A text message or tool call on its way from start to end."""

    __slots__ = ("begun", "deltas", "is_text", "metadata", "position", "start")

    def __init__(self, start: Event, *, is_text: bool, position: int) -> None:
        self.start = start
        self.begun = False
        """The start has come out already."""
        self.is_text = is_text
        self.position = position
        self.deltas: list[str] = []
        self.metadata: Any = None
        """Metadata of all that came after the first delta, merged."""

    @property
    def id(self) -> str:
        return self.start["messageId" if self.is_text else "toolCallId"]  # type: ignore[no-any-return]

    def restart(self, start: Event) -> None:
        """Take a start that is replayed while the stream is open."""
        metadata = self.start.get("metadata")
        if self.deltas:
            self.metadata = merge_metadata(self.metadata, start.get("metadata"))
        else:
            metadata = merge_metadata(metadata, start.get("metadata"))
        self.start = {key: value for key, value in start.items() if key != "metadata"}
        if metadata is not None:
            self.start["metadata"] = metadata

    def append(self, event: Event) -> None:
        self.deltas.append(event["delta"])
        if "metadata" in event:
            self.metadata = merge_metadata(self.metadata, event["metadata"])

    def take(self) -> list[Event]:
        """Return the start, unless it has come out, and all deltas since in one event."""
        events = [] if self.begun else [self.start]
        self.begun = True
        if self.deltas:
            content: Event = {
                "type": "TEXT_MESSAGE_CONTENT" if self.is_text else "TOOL_CALL_ARGS",
                "messageId" if self.is_text else "toolCallId": self.id,
                "delta": "".join(self.deltas),
            }
            if self.metadata is not None:
                content["metadata"] = self.metadata
            events.append(content)
            self.deltas, self.metadata = [], None
        return events

    def end(self) -> Event:
        return {
            "type": "TEXT_MESSAGE_END" if self.is_text else "TOOL_CALL_END",
            "messageId" if self.is_text else "toolCallId": self.id,
        }


class Compactor:
    """Compacts the events of one or more runs as they come; events must be in order.

    A text message or tool call comes out when it ends, its deltas joined. State comes out as one
    snapshot before the end of its run, an activity as what it was at last where it came first.
    Everything else waits for the stream it arrived in, so
    that it is not in the middle of one. A stream still open when its run ends is given its end.
    """

    __slots__ = (
        "_activities",
        "_calls",
        "_children",
        "_host",
        "_out",
        "_parked",
        "_started",
        "_state",
        "_texts",
        "_window",
    )

    def __init__(self, initial_state: Any = None) -> None:
        self._out: list[Event] = []
        self._activities = Activities()
        # Ordered dicts, as finding the first key of a plain one takes longer the more were deleted.
        self._texts: OrderedDict[str, _Stream] = OrderedDict()
        self._calls: OrderedDict[str, _Stream] = OrderedDict()
        self._children: dict[str, list[_Stream]] = {}
        """Tool calls of this run by the message they name as their parent."""
        self._started = 0
        self._parked: list[Event] = []
        self._host: _Stream | None = None
        """The stream whose end ``_parked`` waits for."""
        self._state = {} if initial_state is None else initial_state
        self._window: list[Event] = []

    def add(self, event: Event) -> None:
        """Take the next event, which is kept but never changed."""
        kind = event["type"]
        if kind == "TEXT_MESSAGE_CONTENT" or kind == "TEXT_MESSAGE_END":
            stream = self._texts.get(event["messageId"])
        elif kind == "TOOL_CALL_ARGS" or kind == "TOOL_CALL_END":
            stream = self._calls.get(event["toolCallId"])
        elif kind == "TEXT_MESSAGE_START":
            self._start_text(event)
            return
        elif kind == "TOOL_CALL_START":
            self._start_call(event)
            return
        elif kind in _STATE:
            self._window.append(event)
            return
        elif kind in _ACTIVITIES:
            kept = self._activities.take(event)
            if kept is not None:
                self._pass(kept)
            return
        elif kind in _BOUNDARIES:
            self._activities.forget()
            self._end_run()
            self._out.append(event)
            return
        else:
            if kind == "MESSAGES_SNAPSHOT":
                # It may take activities away, which others after it bring back.
                self._activities.forget()
            stream = None
        if stream is None:
            self._pass(event)
        elif kind in _DELTAS:
            stream.append(event)
        else:
            self._end(stream, event)

    def add_delta(self, message_id: str, delta: str) -> None:
        """Take a bare TEXT_MESSAGE_CONTENT of a message that is open."""
        self._texts[message_id].deltas.append(delta)

    def finish(self) -> list[Event]:
        """Return the compacted events. Streams that are open come without an end."""
        self._flush(close=False)
        self._flush_state()
        return self._out

    def _start_text(self, start: Event) -> None:
        message_id = start["messageId"]
        for call in self._children.get(message_id, ()):
            # A call that came before its message may belong to somebody else, which it may not
            # once the message is there. So it stays before it.
            if call.start.get("subagentRunId") != start.get("subagentRunId") and not call.begun:
                self._out += call.take()
        self._start(self._texts, message_id, start)

    def _start_call(self, start: Event) -> None:
        parent_id = start.get("parentMessageId")
        parent = None if parent_id is None else self._texts.get(parent_id)
        if parent is not None and "subagentRunId" in parent.start:
            # The call comes out before its message if it ends first; then only its own word counts.
            start = {"subagentRunId": parent.start["subagentRunId"], **start}
        call = self._start(self._calls, start["toolCallId"], start)
        if parent_id is not None and parent is None:
            self._children.setdefault(parent_id, []).append(call)

    def _start(self, streams: OrderedDict[str, _Stream], key: str, start: Event) -> _Stream:
        stream = streams.get(key)
        if stream is not None:
            stream.restart(start)
            return stream
        self._started += 1
        stream = _Stream(start, is_text=streams is self._texts, position=self._started)
        streams[key] = stream
        return stream

    def _end(self, stream: _Stream, end: Event) -> None:
        del (self._texts if stream.is_text else self._calls)[stream.id]
        if end.get("subagentRunId") != stream.start.get("subagentRunId"):
            # A name the start does not bear is only right while events the end depends on come
            # first, which compaction does not promise; an end without a name is always right.
            end = {key: value for key, value in end.items() if key != "subagentRunId"}
        self._out += stream.take()
        self._out.append(end)
        if stream is self._host:
            self._release()

    def _pass(self, event: Event) -> None:
        if self._host is None:
            for streams in (self._texts, self._calls):
                if streams:
                    self._host = next(iter(streams.values()))
                    break
            else:
                self._out.append(event)
                return
        # One queue for all: a second host could end first and let later events overtake.
        self._parked.append(event)

    def _release(self) -> None:
        self._out += self._parked
        self._parked = []
        self._host = None

    def _end_run(self) -> None:
        self._flush(close=True)
        self._flush_state()

    def _flush(self, *, close: bool) -> None:
        streams = [*self._texts.values(), *self._calls.values()]
        self._texts.clear()
        self._calls.clear()
        self._children.clear()
        for stream in sorted(streams, key=lambda stream: stream.position):
            self._out += stream.take()
            if close:
                self._out.append(stream.end())
            if stream is self._host:
                self._release()

    def _flush_state(self) -> None:
        window = self._window
        if not window:
            return
        self._window = []
        self._state = fold(self._state, window)
        if self._state is UNKNOWN:
            self._out += window
            return
        metadata: Any = None
        for event in window:
            metadata = merge_metadata(metadata, event.get("metadata"))
        snapshot: Event = {"type": "STATE_SNAPSHOT", "snapshot": self._state}
        if metadata is not None:
            snapshot["metadata"] = metadata
        self._out.append(snapshot)


def compact(events: Iterable[Event], initial_state: Any = None) -> list[Event]:
    """Return the events of one or more runs compacted.

    ``initial_state`` is the state before the first of them, that of the run's input; patches
    without a snapshot before them apply to it. Where a patch does not apply, the state events of
    that run come out as they are.
    """
    compactor = Compactor(initial_state)
    for event in events:
        compactor.add(event)
    return compactor.finish()
