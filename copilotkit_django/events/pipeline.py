"""Agent output in, wire events out: every stage an event of a run passes, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from copilotkit_django.events.compact import Compactor
from copilotkit_django.events.downlevel import downlevel
from copilotkit_django.events.finalize import finalize
from copilotkit_django.events.normalize import Normalizer
from copilotkit_django.events.order import OrderError, RunOrder
from copilotkit_django.events.wire import encode

TERMINAL = frozenset({"RUN_FINISHED", "RUN_ERROR"})

#: The protocol version a run speaks when its client declared one.
PROTOCOL_VERSION = "1.0"


class Pipeline:
    """Turns what one agent yields during one run into what its readers are sent.

    Each event is validated, expanded if it is a chunk, checked for order, brought to the form the
    client understands, encoded once, handed to ``emit`` and folded into the compacted record of the
    run. A terminal event is held back until `release`, so that a runner can store the run and free
    its thread before anybody learns that it is over.

    ``settle`` is called when something was sent that should not be lost: the result of a tool.

    ``echo`` is the run input put into ``RUN_STARTED.input`` (``None``: no echo); ``modern`` says
    that the client declared protocol 1.0. Not thread-safe, no I/O.
    """

    def __init__(
        self,
        emit: Callable[[bytes], None],
        *,
        settle: Callable[[], None] = lambda: None,
        thread_id: str,
        run_id: str,
        echo: Mapping[str, Any] | None = None,
        initial_state: Any = None,
        modern: bool = False,
    ) -> None:
        self.order = RunOrder()
        #: How many events were let through.
        self.count = 0
        self._emit = emit
        self._settle = settle
        self._thread_id = thread_id
        self._run_id = run_id
        self._echo = echo
        self._modern = modern
        self._normalizer = Normalizer(thread_id, run_id)
        self._chunks = self._normalizer.chunks
        self._compactor = Compactor(initial_state)
        #: The terminal event, until it is released.
        self.held: bytes | None = None
        #: The type of the last terminal event.
        self.ended_with: str | None = None
        #: Token counts the agent has reported.
        self.usage: list[dict[str, Any]] = []

    def feed(self, event: object) -> None:
        """Take one event as the agent yielded it.

        Raises `InvalidEvent` for a known type of wrong shape and `OrderError` for an event that may
        not stand here; both end the run. Unknown types are dropped with a log line.
        """
        # One event in a hundred is not a plain text delta. Everything the general way would do with
        # such a delta is done here in a tenth of the time.
        if type(event) is dict and event.get("type") == "TEXT_MESSAGE_CONTENT" and len(event) == 3:
            delta = event.get("delta")
            message_id = event.get("messageId")
            if (
                type(delta) is str
                and type(message_id) is str
                and message_id in self.order.texts
                and not self._chunks.is_open
            ):
                try:
                    data = orjson.dumps(event)
                except orjson.JSONEncodeError:
                    data = encode(event)
                self._compactor.add_delta(message_id, delta)
                self.count += 1
                self._emit(data)
                return
        self._take(event)

    def _take(self, event: object) -> None:
        for wire in self._normalizer.take(event):
            self._accept(wire)

    def _accept(self, event: dict[str, Any]) -> None:
        for repair in self.order.before(event):
            self.order.check(repair)
            self._send(repair)
        self.order.check(event)
        self._send(self._started(event) if event["type"] == "RUN_STARTED" else event)

    def _started(self, event: dict[str, Any]) -> dict[str, Any]:
        if self._echo is not None and "input" not in event:
            event = {**event, "input": self._echo}
        if self._modern and "protocolVersion" not in event:
            event = {**event, "protocolVersion": PROTOCOL_VERSION}
        return event

    def _send(self, event: dict[str, Any]) -> None:
        if not self._modern:
            known = downlevel(event)
            if known is None:
                return
            event = known
        data = encode(event)
        kind = event["type"]
        self._compactor.add(as_stored(event))
        self.count += 1
        self.release()
        if kind in TERMINAL:
            self.held, self.ended_with = data, kind
            self.usage += event.get("usage") or []
        else:
            self._emit(data)
            if kind == "TOOL_CALL_RESULT":
                self._settle()

    def finish(
        self,
        *,
        stopped: bool = False,
        message: str | None = None,
        code: str = "INCOMPLETE_STREAM",
    ) -> None:
        """The agent is done: close what is open and see to a terminal event.

        ``stopped``: the user asked for the end; otherwise a missing terminal event is an error,
        with ``code`` and ``message`` or the protocol's own sentence. The terminal event stays held
        back.
        """
        for expanded in self._normalizer.finish():
            try:
                self.order.check(expanded)
            except OrderError:
                # Its start was refused, which is why the run ends here: nothing is open to close.
                continue
            self._send(expanded)
        for event in finalize(
            self.order,
            thread_id=self._thread_id,
            run_id=self._run_id,
            stopped=stopped,
            message=message,
            code=code,
        ):
            self._send(self._started(event) if event["type"] == "RUN_STARTED" else event)

    def compacted(self) -> list[dict[str, Any]]:
        """The record of the run as it is stored. Call once, after `finish`."""
        return self._compactor.finish()

    def release(self) -> None:
        """Send the terminal event that was held back, if any."""
        if self.held is not None:
            held, self.held = self.held, None
            self._emit(held)


def as_stored(event: dict[str, Any]) -> dict[str, Any]:
    """An event as history keeps it: as it was sent, but for the payloads of an echo."""
    if event["type"] != "RUN_STARTED" or not isinstance(event.get("input"), dict):
        return event
    return {**event, "input": without_payloads(event["input"])}


def without_payloads(echo: Mapping[str, Any]) -> dict[str, Any]:
    """A run input as history keeps it: only its messages are ever read again."""
    empty: dict[str, Any] = {"tools": [], "context": [], "forwardedProps": {}, "state": {}}
    return {**echo, **{key: empty[key] for key in empty if key in echo}}
