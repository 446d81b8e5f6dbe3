"""A client of the connect socket, for tests of projects and for programs."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import orjson

from copilotkit_django.testing.websocket_commands import (
    Answer,
    Connection,
    Following,
    WebsocketError,
)

logger = logging.getLogger("copilotkit.testing")

#: Close codes after which coming back is of no use.
FINAL = frozenset({1009, 4400, 4403, 4404})
UNAUTHENTICATED = 4401

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 15.0
OPEN_SECONDS = 10.0


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
        self._commands: dict[str, Following | Answer] = {}
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
        answer = Answer({"type": "stop", "threadId": thread_id, **named})
        self._add(answer)
        return await answer.future

    # -- for what it follows --------------------------------------------------------------------

    def _add(self, command: Following | Answer) -> None:
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
        connection = Connection(socket)
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

    def _hear(self, message: Any, connection: Connection, size: int) -> None:
        command = self._commands.get(message.get("id"))
        if message["type"] == "events":
            if isinstance(command, Following):
                command.take(message, connection, size)
            else:
                connection.taken(message["frame"], size)
        elif command is not None and message["type"] == "end":
            del self._commands[message["id"]]
            command.end()
        elif isinstance(command, Answer) and message["type"] == "result":
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
