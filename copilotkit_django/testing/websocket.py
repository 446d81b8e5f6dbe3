"""A client of the connect socket, for tests of projects and for programs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import orjson

logger = logging.getLogger("copilotkit.testing")

#: Close codes after which coming back is of no use.
FINAL = frozenset({1009, 4400, 4403, 4404})
UNAUTHENTICATED = 4401

TERMINAL = ("RUN_FINISHED", "RUN_ERROR")

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 15.0
OPEN_SECONDS = 10.0

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


class WebsocketClient:
    """Runs and follows threads over a websocket, and comes back when the connection breaks.

    ::

        async with WebsocketClient("ws://127.0.0.1:8000/ws/copilotkit/agent/default/connect/") as c:
            async for event in c.run(run_input):
                ...

    Needs the ``websockets`` package. ``headers`` go with each handshake (``Cookie``,
    ``Authorization``, …), ``origin`` is what a browser would send, ``ticket`` is an async function
    that asks for a ticket before each connection; what it raises is logged, and it is asked again
    a little later. What was under way when a connection broke is
    resumed: each event is given once, unless a ``CUSTOM`` event named ``copilotkit.reset`` says
    that what follows begins its run anew.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        ticket: Callable[[], Awaitable[str]] | None = None,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._url = url
        self._headers = dict(headers or {})
        self._origin = origin
        self._ticket = ticket
        self._first_pause = first_pause
        self._commands: dict[str, Following | _Answer] = {}
        self._next_id = 0
        self._connection: Any = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed: WebsocketError | None = None
        #: How often a connection was let in.
        self.connections = 0

    async def __aenter__(self) -> Self:
        import websockets  # noqa: F401 - who lacks it is to know now

        self._keeper = asyncio.create_task(self._keep())
        self._keeper.add_done_callback(self._kept)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._keeper is not None  # noqa: S101 - it was entered
        self._keeper.cancel()
        await asyncio.wait({self._keeper})
        self._fail(WebsocketError("The client was closed.", code=1000))

    def run(self, run_input: Mapping[str, Any]) -> Following:
        """Start a run; its events, to be iterated over."""
        message = {"type": "run", "input": dict(run_input)}
        following = Following(self, message, run_input["threadId"], runs=True)
        self._add(following)
        return following

    def connect(self, thread_id: str, *, after: str | None = None) -> Following:
        """A thread's history and its live run; with ``after`` what came behind that cursor."""
        message = {"type": "connect", "threadId": thread_id}
        following = Following(self, message, thread_id, cursor=after)
        self._add(following)
        return following

    async def stop(self, thread_id: str, run_id: str | None = None) -> Any:
        """Stop the live run of a thread, or only the one named; what the server answers."""
        named = {} if run_id is None else {"runId": run_id}
        answer = _Answer({"type": "stop", "threadId": thread_id, **named})
        self._add(answer)
        return await answer.future

    # -- for what it follows --------------------------------------------------------------------

    def _add(self, command: Following | _Answer) -> None:
        if self._closed is not None:
            command.fail(self._closed)
            return
        self._next_id += 1
        command.id = str(self._next_id)
        self._commands[command.id] = command
        if self._connection is not None:
            self._say(command.start(command.id))

    def _leave(self, command: Following) -> None:
        if self._commands.pop(command.id, None) is not None:
            self._say({"type": "leave", "id": command.id})

    def _say(self, message: Any) -> None:
        if self._connection is not None:
            self._connection.outbox.put_nowait(message)

    # -- the connection -------------------------------------------------------------------------

    async def _keep(self) -> None:
        attempts = refused = 0
        while True:
            before = self.connections
            code = await self._one_connection()
            if self.connections > before:
                attempts = refused = 0
            if code == UNAUTHENTICATED:
                refused += 1
            no_use = code == UNAUTHENTICATED and (self._ticket is None or refused > 2)
            if no_use or code in FINAL:
                self._fail(WebsocketError(f"The socket was closed with {code}.", code=code))
                return
            longest = min(LONGEST_PAUSE, self._first_pause * 2**attempts)
            attempts += 1
            # Half of it is chance, so that clients of a server that was restarted do not come all
            # at once.
            await asyncio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            # Nobody would come back: who waits must not wait for ever.
            self._fail(WebsocketError(f"The client broke down: {error!r}"))

    async def _one_connection(self) -> int:
        """Connect, and do what there is to do until the connection ends; with which code."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, WebSocketException

        url = self._url
        if self._ticket is not None:
            try:
                url += f"{'&' if '?' in url else '?'}ticket={await self._ticket()}"
            except Exception as error:
                # Whatever its client raises where the server is down, or being started again.
                logger.warning("There is no ticket for a websocket: %r", error)
                return 1006
        try:
            async with connect(
                url,
                additional_headers=self._headers,
                origin=self._origin,  # type: ignore[arg-type]
                max_size=None,
                open_timeout=OPEN_SECONDS,
                proxy=None,
            ) as socket:
                await self._talk(socket)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else 1006
        except (OSError, WebSocketException, TimeoutError):
            return 1006
        return 1006

    async def _talk(self, socket: Any) -> None:
        connection = _Connection(socket)
        sending = asyncio.create_task(connection.send_all())
        try:
            while True:
                text = await socket.recv()
                message = orjson.loads(text)
                if message["type"] == "ready":
                    self.connections += 1
                    self._connection = connection
                    self._begin()
                else:
                    self._hear(message, connection, len(text))
        finally:
            self._connection = None
            sending.cancel()
            await asyncio.wait({sending})

    def _begin(self) -> None:
        for command_id, command in list(self._commands.items()):
            message = command.start(command_id)
            if message is None:
                del self._commands[command_id]
            else:
                self._say(message)

    def _hear(self, message: Any, connection: _Connection, size: int) -> None:
        command = self._commands.get(message.get("id"))
        if message["type"] == "events":
            if isinstance(command, Following):
                command.take(message, connection, size)
            else:
                connection.taken(message["frame"], size)
        elif command is not None and message["type"] == "end":
            del self._commands[message["id"]]
            command.end()
        elif isinstance(command, _Answer) and message["type"] == "result":
            del self._commands[message["id"]]
            command.give(message.get("body"))
        elif command is not None and message["type"] == "error":
            if message["status"] == 401 and self._ticket is not None:
                # With a ticket of its own the next connection may do what this one may not.
                return
            del self._commands[message["id"]]
            # Of a refusal by the project's own code it may be anything.
            body = message.get("body")
            told = body if isinstance(body, dict) else {"message": body}
            said = str(told.get("message") or told.get("error") or "refused")
            command.fail(WebsocketError(said, status=message["status"], body=body))

    def _fail(self, error: WebsocketError) -> None:
        self._closed = self._closed or error
        commands, self._commands = list(self._commands.values()), {}
        for command in commands:
            command.fail(self._closed)


class _Connection:
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


class _Answer:
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
        self._frames: deque[tuple[Any, list[Any], _Connection, int]] = deque()
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

    def take(self, message: Any, connection: _Connection, size: int) -> None:
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
