"""The commands of a `WebsocketClient`, and what it acknowledges of their events."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import orjson

from copilotkit_django.events.pipeline import TERMINAL

if TYPE_CHECKING:
    from copilotkit_django.testing.websocket import WebsocketClient

#: So much is taken before it is acknowledged together: far less than the server sends ahead.
ACK_FRAMES = 16
ACK_CHARACTERS = 64 * 1024


class WebsocketError(Exception):
    """A command was refused, or the socket is closed for good.

    ``status`` and ``body`` are those of the refusal, ``code`` is that of the close.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        body: Any = None,
        code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.code = code


class Connection:
    """One connection that was made, and what is to be sent over it."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.outbox: asyncio.Queue[Any] = asyncio.Queue()
        #: What was taken and not acknowledged yet, of all commands: what each has left over may
        #: together be all that the server sends ahead.
        self._untold = self._untold_frames = 0
        self._last = 0

    def taken(self, frame: int, size: int) -> None:
        """A frame of events of so many characters was dealt with."""
        self._last = max(self._last, frame)
        self._untold += size
        self._untold_frames += 1
        if self._untold_frames >= ACK_FRAMES or self._untold >= ACK_CHARACTERS:
            self._untold = self._untold_frames = 0
            # Of a connection that is gone nobody sends it: resuming behind it says as much.
            self.outbox.put_nowait({"type": "ack", "frame": self._last})

    async def send_all(self) -> None:
        with contextlib.suppress(Exception):  # the reader is told what is wrong with it
            while True:
                await self._socket.send(orjson.dumps(await self.outbox.get()).decode())


class Answer:
    """A command that is answered once."""

    def __init__(self, message: dict[str, Any]) -> None:
        self.id = ""
        self._message = message
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def start(self, command_id: str) -> dict[str, Any] | None:
        return {**self._message, "id": command_id}

    def give(self, body: Any) -> None:
        if not self.future.done():
            self.future.set_result(body)

    def end(self) -> None:
        self.give(None)

    def fail(self, error: WebsocketError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Following:
    """The events of a run or a thread: iterate over it, once."""

    def __init__(
        self,
        client: WebsocketClient,
        message: dict[str, Any],
        thread_id: str,
        *,
        cursor: str | None = None,
        runs: bool = False,
    ) -> None:
        self.id = ""
        #: The cursor of the last events that were taken: what `connect` goes on from.
        self.cursor = cursor
        self._client = client
        self._message = message
        self._thread_id = thread_id
        self._runs = runs
        #: The cursor of the last frame that came, taken or not.
        self._received = cursor
        self._frames: deque[tuple[Any, list[Any], Connection, int]] = deque()
        self._changed = asyncio.Event()
        self._over = False
        self._error: WebsocketError | None = None
        #: The run this follows has told its end.
        self._finished = False
        #: It is followed as its thread, since a connection broke.
        self._resumed = False

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        try:
            while True:
                self._changed.clear()
                while self._frames:
                    message, events, connection, size = self._frames.popleft()
                    try:
                        for event in events:
                            yield event
                    finally:
                        connection.taken(message["frame"], size)
                    self.cursor = message.get("cursor", self.cursor)
                if self._error is not None:
                    raise self._error
                if self._over:
                    return
                await self._changed.wait()
        finally:
            self.leave()

    def leave(self) -> None:
        """Hear no more of it; the run goes on."""
        if not self._over:
            self._client._leave(self)
            self.end()
        # The server waits for what nobody is going to take, too.
        while self._frames:
            message, _, connection, size = self._frames.popleft()
            connection.taken(message["frame"], size)

    def start(self, command_id: str) -> dict[str, Any] | None:
        """What to send on a new connection; nothing if there is nothing more to come."""
        if self._finished:
            self.end()
            return None
        if self._received is None:
            return {**self._message, "id": command_id}
        self._resumed = True
        return {
            "type": "connect",
            "id": command_id,
            "threadId": self._thread_id,
            "after": self._received,
        }

    def take(self, message: Any, connection: Connection, size: int) -> None:
        """Events have come, in a frame of so many characters."""
        self._received = message.get("cursor", self._received)
        events = message["events"]
        if self._runs:
            ends = [n for n, event in enumerate(events, 1) if event["type"] in TERMINAL]
            self._finished = bool(ends)
            if self._resumed and ends:
                events = events[: ends[0]]
        self._frames.append((message, events, connection, size))
        if self._finished and self._resumed:
            # Its thread may have gone on without us, and does not end before its last run does.
            self._client._leave(self)
            self.end()
        self._changed.set()

    def end(self) -> None:
        """There is nothing more to come."""
        self._over = True
        self._changed.set()

    def fail(self, error: WebsocketError) -> None:
        """There is nothing more to come, for a reason."""
        self._error = error
        self.end()
