"""What a tool knows of the run it is called in, and what it may put into its stream."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jsonpointer import JsonPointer, JsonPointerException

from copilotkit_django.agents.tools.approval import ApprovalRequired
from copilotkit_django.events.state import UNKNOWN, fold
from copilotkit_django.events.wire import InvalidEvent, decode, encode, to_wire, validate

if TYPE_CHECKING:
    from copilotkit_django.agents.base import Event, RunContext

#: What tools may put into the stream. Everything else belongs to whoever drives the run.
EMITTED = frozenset(
    ["STATE_SNAPSHOT", "STATE_DELTA", "ACTIVITY_SNAPSHOT", "ACTIVITY_DELTA", "CUSTOM"]
)


class CallOver(RuntimeError):
    """The call was given up (stopped, or too slow): nobody waits for what the tool still does."""


class ToolSession:
    """What the tool calls of one run share: the state, and the events on their way to the stream.

    Whoever drives tools makes one per run, `context` for each call, and sends what `take` returns:
    before the result of the call, or as soon as ``on_event`` is called (on the loop the session was
    made on). May be used from any thread.
    """

    def __init__(self, run: RunContext, on_event: Callable[[], None] | None = None) -> None:
        self.run = run
        self.on_event = on_event
        self._state: Any = run.state
        self._told = False
        self._events: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def context(self, tool_call_id: str, *, approved: bool = False) -> ToolContext:
        """The context of one call. ``approved``: the person has agreed to this very call."""
        return ToolContext(self.run, tool_call_id, approved=approved, session=self)

    @property
    def state(self) -> Any:
        """A copy of the shared state as it is now; ``None`` if there is none."""
        with self._lock:
            return copy.deepcopy(self._state)

    def take(self) -> list[dict[str, Any]]:
        """The events since the last time, in order."""
        with self._lock:
            events, self._events = self._events, []
        return events

    def add(self, event: Event) -> None:
        """Put an event into the stream, and what it says of the state into the state.

        Raises `InvalidEvent` for one that is malformed or of a type that is not for tools, and for
        a patch that does not fit the state.
        """
        # Written and read back: what the tool does with its objects afterwards changes nothing.
        wire = decode(encode(validate(to_wire(event))))
        if wire["type"] not in EMITTED:
            raise InvalidEvent(f"A tool may not emit {wire['type']}.")
        with self._lock:
            if wire["type"] == "STATE_SNAPSHOT":
                self._state, self._told = wire["snapshot"], True
            elif wire["type"] == "STATE_DELTA":
                self._patch(wire)
            self._events.append(wire)
        if self.on_event is not None:
            if self._loop is None or self._loop is _running_loop():
                self.on_event()
            else:
                self._loop.call_soon_threadsafe(self.on_event)

    def _patch(self, event: dict[str, Any]) -> None:
        base = {} if self._state is None else self._state
        event["delta"] = list(_with_lists(event["delta"], base))
        state = fold(base, [event])
        if state is UNKNOWN:
            raise InvalidEvent("The patch does not fit the state.")
        if not self._told and self._state is not None:
            # A replay has no client that knew the state before the run.
            self._events.append({"type": "STATE_SNAPSHOT", "snapshot": self._state})
        self._state, self._told = state, True


class ToolContext:
    """The first argument of a tool that asks for it: the run, and the ways to act on its stream.

    ``run`` is the `RunContext`, ``tool_call_id`` names this call in the conversation, ``approved``
    says that the person has agreed to it. All methods may be called from sync and async tools.
    """

    def __init__(
        self,
        run: RunContext,
        tool_call_id: str = "",
        *,
        approved: bool = False,
        session: ToolSession | None = None,
    ) -> None:
        self.run = run
        self.tool_call_id = tool_call_id
        self.approved = approved
        self.session = ToolSession(run) if session is None else session
        #: The call has ended or was given up. A tool in a thread cannot be stopped from outside:
        #: one that works in a long loop should look at this now and then.
        self.over = False

    @property
    def user(self) -> Any:
        """The Django user, or ``None``."""
        return self.run.user

    @property
    def scope(self) -> str:
        """Who owns the thread: ``user:42``, ``anon:…``."""
        return self.run.scope

    @property
    def thread_id(self) -> str:
        return self.run.thread_id

    @property
    def thread_key(self) -> str:
        """Names the thread among those of all owners."""
        return self.run.thread_key

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def agent_id(self) -> str:
        return self.run.agent_id

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation, in wire form, as the client sent it."""
        return self.run.messages

    @property
    def state(self) -> Any:
        """A copy of the shared state, with what tools of this run have changed.

        It came from the client: data, not to be trusted.
        """
        return self.session.state

    def emit(self, event: Event) -> None:
        """Put a state, activity or custom event into the stream, before the result of this call.

        Raises `ValueError` for any other event and for a malformed one, `CallOver` if the call was
        given up.
        """
        self.check()
        self.session.add(event)

    def set_state(self, snapshot: Any) -> None:
        """Replace the shared state."""
        self.emit({"type": "STATE_SNAPSHOT", "snapshot": snapshot})

    def patch_state(self, operations: Iterable[Mapping[str, Any]]) -> None:
        """Change the shared state by JSON Patch operations.

        Appending to a list that does not exist (``/items/-``) makes it. Raises `ValueError` if the
        patch does not fit.
        """
        self.emit({"type": "STATE_DELTA", "delta": [dict(operation) for operation in operations]})

    def custom(self, name: str, value: Any = None) -> None:
        """Send the page an event of the project's own."""
        self.emit({"type": "CUSTOM", "name": name, "value": value})

    def activity(
        self, activity_type: str, content: Mapping[str, Any], *, message_id: str = ""
    ) -> None:
        """Show or replace an activity message: progress, a plan, whatever the page renders.

        The same ``message_id`` replaces; by default each call of a tool has one of each type.
        """
        self.emit(
            {
                "type": "ACTIVITY_SNAPSHOT",
                "messageId": message_id or f"{activity_type}-{self.tool_call_id or self.run_id}",
                "activityType": activity_type,
                "content": dict(content),
                "replace": True,
            }
        )

    def require_approval(self, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Go on only if the person has agreed to this call.

        Raises `ApprovalRequired` otherwise; let it pass. The tool is called again from its
        beginning once they have agreed, so ask before doing anything.
        """
        if not self.approved:
            raise ApprovalRequired(message, metadata)

    def check(self) -> None:
        """Raise `CallOver` if nobody waits for this call any more."""
        if self.over:
            raise CallOver("The call was given up.")


def _with_lists(operations: Iterable[Mapping[str, Any]], state: Any) -> Iterable[Mapping[str, Any]]:
    """The operations, with the lists they append to made first where there are none."""
    made = set()
    for operation in operations:
        path = operation.get("path", "")
        parent = path.removesuffix("/-")
        if operation.get("op") == "add" and parent != path and parent not in made:
            made.add(parent)
            try:
                JsonPointer(parent).resolve(state)
            except JsonPointerException:
                if parent not in {earlier.get("path") for earlier in operations}:
                    yield {"op": "add", "path": parent, "value": []}
        yield operation


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
