"""The after middleware: called when an answer, to the end of its stream, is given."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from copilotkit_django.background import spawn
from copilotkit_django.events.snapshot import response_messages
from copilotkit_django.events.wire import decode
from copilotkit_django.hooks import copilotkit
from copilotkit_django.responses import EventStreamResponse, frame
from copilotkit_django.routes import Route
from copilotkit_django.runners.log import Batch
from copilotkit_django.workers import call, worker_thread

if TYPE_CHECKING:
    from copilotkit_django.runtime import Runtime

logger = logging.getLogger("copilotkit.request")

#: Of a stream so many bytes of events are kept for the after middleware: those of the longest run
#: there may be by default, or the beginning of a long history.
KEPT_BYTES = 64 * 1024 * 1024

#: A stream is so many batches ahead of its reader.
AHEAD = 16

#: Calls of after middleware that are not through yet.
_pending: set[asyncio.Task[None]] = set()


@dataclass
class AfterRequest:
    """What the after middleware is called with.

    ``response`` has its final status and headers; ``body`` is what was sent, and may be read as
    often as you like. Of a stream, ``events`` are its AG-UI events in wire form and ``messages``
    the messages they amount to (``{"id", "role", "content"?, "toolCalls"?, "toolCallId"?}``);
    ``thread_id`` and ``run_id`` are those of its last run. ``usage`` are the token counts the agent
    reported. All of these are made when they are asked for. ``is_cut`` says that the stream was
    larger than is kept (`KEPT_BYTES`) and that they tell its beginning only; of the debug feed
    nothing is kept. ``duration`` is in seconds, from the arrival of the request to the end of the
    answer. ``context`` is the dict that hooks, handler and agent of the request shared.
    """

    runtime: Runtime
    request: HttpRequest
    response: HttpResponseBase
    path: str
    route: Route | None
    duration: float
    #: The events of a stream as they were sent.
    sent: list[bytes] = field(default_factory=list)
    is_cut: bool = False
    context: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def body(self) -> bytes:
        if self.sent:
            return frame(Batch(self.sent))
        return b"" if self.response.streaming else self.response.content  # type: ignore[attr-defined]

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        return [decode(event) for event in self.sent]

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        return response_messages(self.events)

    @cached_property
    def usage(self) -> list[dict[str, Any]]:
        return [entry for event in self.events for entry in event.get("usage") or ()]

    @property
    def thread_id(self) -> str | None:
        return self._last_start.get("threadId")

    @property
    def run_id(self) -> str | None:
        return self._last_start.get("runId")

    @cached_property
    def _last_start(self) -> dict[str, Any]:
        for event in reversed(self.sent):
            # Looked at as text first: most events are something else.
            if b"RUN_STARTED" in event:
                start: dict[str, Any] = decode(event)
                if start["type"] == "RUN_STARTED":
                    return start
        return {}

    @property
    def user(self) -> Any:
        """Who called, as AUTHENTICATION knows them; ``None`` for nobody in particular."""
        return copilotkit(self.request).user

    @property
    def scope(self) -> str:
        """Whose threads it was about."""
        return copilotkit(self.request).scope


def call_afterwards(
    runtime: Runtime, request: HttpRequest, response: HttpResponseBase, started: float
) -> None:
    """See to it that the after middleware is called once the answer is given.

    ``started`` is when the request arrived, by the monotonic clock. A stream is followed to its end
    even when the client goes away; what fails is logged and changes nothing.
    """
    function = runtime.hooks.after_request
    if function is None:
        return
    copy = None
    if isinstance(response, EventStreamResponse):
        copy = StreamCopy(response)
        response.follow(copy.reader())
    pending = spawn(_afterwards(function, runtime, request, response, started, copy))
    _pending.add(pending)
    pending.add_done_callback(_pending.discard)


async def drain(timeout: float) -> None:
    """Wait for calls that are still under way, at most so many seconds."""
    if _pending:
        await asyncio.wait(set(_pending), timeout=timeout)


class StreamCopy:
    """Goes along with a stream: hands its batches on to the reader and keeps the events.

    A reader that is slow is waited for. When it is gone, a stream that goes on without it is
    followed to its end all the same.
    """

    def __init__(self, response: EventStreamResponse) -> None:
        self.events: list[bytes] = []
        #: There were more events than are kept.
        self.is_cut = False
        self._keeps = response.keeps
        self._size = 0
        self._outlives_reader = response.outlives_reader
        self._ready: asyncio.Queue[Batch | None] = asyncio.Queue(AHEAD)
        self._reader_left = False
        self._loop = asyncio.get_running_loop()
        self._task = spawn(self._go_along(response.batches))

    def reader(self) -> AsyncIterator[Batch]:
        """What the client is to be sent."""
        reader = _CopyReader(self._ready, self._leave)
        # One that nobody has begun to read is never closed, only forgotten, on whatever thread.
        weakref.finalize(reader, self._leave_from_thread).atexit = False
        return reader

    async def ended(self) -> None:
        """Wait for the end of the stream."""
        await asyncio.wait({self._task})

    async def _go_along(self, source: AsyncIterator[Batch]) -> None:
        try:
            async with aclosing(source) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    self._keep(batch)
                    # What keeps a connection alive is of no use behind something else.
                    if not self._reader_left and (batch or self._ready.empty()):
                        await self._ready.put(batch)
        finally:
            if not self._reader_left:
                await self._ready.put(None)

    def _keep(self, batch: Batch) -> None:
        if not self._keeps or self.is_cut:
            return
        self._size += sum(map(len, batch))
        if self._size > KEPT_BYTES:
            self.is_cut = True
        else:
            self.events += batch

    def _leave(self) -> None:
        self._reader_left = True
        # Whoever waits to hand something on has room now.
        while not self._ready.empty():
            self._ready.get_nowait()
        if not self._outlives_reader:
            self._task.cancel()

    def _leave_from_thread(self) -> None:
        if not self._reader_left and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._leave)


class _CopyReader(AsyncIterator[Batch]):
    def __init__(self, ready: asyncio.Queue[Batch | None], leave: Callable[[], None]) -> None:
        self._ready = ready
        self._leave = leave

    async def __anext__(self) -> Batch:
        batch = await self._ready.get()
        if batch is None:
            raise StopAsyncIteration
        return batch

    async def aclose(self) -> None:
        self._leave()


async def _afterwards(
    function: Any,
    runtime: Runtime,
    request: HttpRequest,
    response: HttpResponseBase,
    started: float,
    copy: StreamCopy | None,
) -> None:
    if copy is not None:
        await copy.ended()
    known = copilotkit(request)
    after = AfterRequest(
        runtime=runtime,
        request=request,
        response=response,
        path=known.path,
        route=known.route,
        duration=time.monotonic() - started,
        sent=[] if copy is None else copy.events,
        is_cut=copy is not None and copy.is_cut,
        context=known.context,
    )
    try:
        async with worker_thread():
            await call(function, after)
    except Exception:
        logger.exception("The after middleware failed.")
