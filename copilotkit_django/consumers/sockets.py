"""What our websockets have in common: who may open one, how it is written to, when it is closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any, ClassVar

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from copilotkit_django.background import spawn
from copilotkit_django.notices import logouts, session_digest
from copilotkit_django.runtime import Runtime, get_runtime

logger = logging.getLogger("copilotkit.websocket")

#: Whether somebody still is who they were is asked again so often, a fifth sooner or later.
RECHECK_SECONDS = 60.0

#: With more than this under way no further message is heard. Far more than the commands a socket
#: may have: these may wait for messages.
MAX_TASKS = 256


class Close(IntEnum):
    """Why the server closed a socket."""

    #: What was sent is no message of the protocol.
    MALFORMED = 4400
    #: Nobody is signed in, or not any more; the ticket or token is none, too old or used.
    UNAUTHENTICATED = 4401
    #: The project's own code refuses it.
    FORBIDDEN = 4403
    #: There is no such agent.
    NOT_FOUND = 4404
    #: Nothing was acknowledged for too long.
    TOO_SLOW = 4408
    #: A message passes MAX_BODY_BYTES.
    TOO_LARGE = 1009
    #: Sockets are opened too often. See RATE_LIMITS.
    TOO_OFTEN = 4429
    #: Something failed on the server.
    FAILED = 1011


class Socket(AsyncWebsocketConsumer):
    """A websocket of an endpoint.

    Handlers of messages only start tasks: Channels calls one handler after the other, and a command
    that waits must not keep the next one from being heard. It uses no channel of a channel layer:
    thousands of sockets would each hold one, and some layers take an idle one for a failure.
    """

    # No layer has this name, so Channels does without.
    channel_layer_alias: ClassVar[Any] = None

    def __init__(self, find_runtime: Callable[[], Runtime] = get_runtime) -> None:
        super().__init__()
        self._find_runtime = find_runtime
        self._tasks: set[asyncio.Task[None]] = set()
        # Frames of several tasks take turns; a server that waits for a slow reader holds up all.
        self._sending = asyncio.Lock()
        self._is_open = False
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None
        #: Digest of the session that this socket ends with.
        self._session: str | None = None

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Not what Channels does: it hops to a thread with every message, to close connections to
        # the database that a consumer of ours never opens.
        handler = getattr(self, message["type"].replace(".", "_"))
        await handler(message)
        while len(self._tasks) > MAX_TASKS:
            # Most of them are answers nobody reads. Whoever sends is held up by their own socket.
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def websocket_disconnect(self, message: Any) -> None:
        self._forget()
        raise StopConsumer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # The server may have ended the application without a word.
            self._forget()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something while messages go on being heard; given up when the socket closes."""
        task = spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("A websocket failed.", exc_info=task.exception())
            if self._is_open:
                self.start(self.shut(Close.FAILED))
            elif not self._is_over:
                # In the middle of the handshake.
                self.start(self.turn_away(Close.FAILED))

    async def opened(self, session_key: str | None, *, checked: bool) -> None:
        """Accept the handshake. ``checked``: who it is can change, and is asked again."""
        await self.accept()
        self._is_open = True
        # Other processes tell of logouts, too.
        self._find_runtime().runner.listen()
        if session_key is not None:
            self._session = session_digest(session_key)
            logouts.listen(self._on_logouts)
        if checked:
            self._check_later()

    async def turn_away(self, code: Close) -> None:
        """Accept the handshake only to say why not: browsers are not told how one was refused."""
        await self.accept()
        self._is_open = True
        await self.shut(code)

    async def put(self, frame: bytes) -> None:
        """Send a text frame, after those that are being sent."""
        text = frame.decode()
        async with self._sending:
            if self._is_open:
                with contextlib.suppress(ConnectionError, RuntimeError, OSError):
                    # Servers raise what they like when the client is gone; they also tell us.
                    await self.send(text_data=text)

    async def shut(self, code: Close) -> None:
        """Close the socket and end what it does. Runs go on."""
        if not self._is_open:
            return
        async with self._sending:
            if self._is_open:
                self._is_open = False
                with contextlib.suppress(ConnectionError, RuntimeError, OSError):
                    await self.close(code=int(code))
        self._forget()

    async def is_still_known(self) -> bool:
        """Whether whoever opened the socket still is who they were."""
        raise NotImplementedError

    def _check_later(self) -> None:
        loop = asyncio.get_running_loop()
        pause = RECHECK_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - to spread the checks
        self._timer = loop.call_later(pause, lambda: self.start(self._check()))

    async def _check(self) -> None:
        if await self.is_still_known():
            self._check_later()
        else:
            await self.shut(Close.UNAUTHENTICATED)

    def _on_logouts(self, sessions: list[str]) -> None:
        if self._session in sessions and self._is_open:
            self.start(self.shut(Close.UNAUTHENTICATED))

    def _forget(self) -> None:
        self._is_open, self._is_over = False, True
        if self._timer is not None:
            self._timer.cancel()
        if self._session is not None:
            logouts.forget(self._on_logouts)
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
