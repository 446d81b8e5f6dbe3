"""The after middleware: called when an answer, to the end of its stream, is given."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from copilotkit_django.events.snapshot import response_messages
from copilotkit_django.events.wire import decode
from copilotkit_django.hooks import copilotkit
from copilotkit_django.responses import EventStreamResponse, frame
from copilotkit_django.routes import Route
from copilotkit_django.runners.background import spawn
from copilotkit_django.runners.log import Batch, RunLog
from copilotkit_django.workers import call, worker_thread

if TYPE_CHECKING:
    from copilotkit_django.runtime import Runtime

logger = logging.getLogger("copilotkit.request")

#: Calls of after middleware that are not through yet.
_pending: set[asyncio.Task[None]] = set()


@dataclass(slots=True)
class AfterRequest:
    """What the after middleware is called with.

    ``response`` has its final status and headers; ``body`` is what was sent, and may be read as
    often as you like. Of a stream, ``events`` are its AG-UI events in wire form and ``messages``
    the messages they amount to (``{"id", "role", "content"?, "toolCalls"?, "toolCallId"?}``);
    ``thread_id`` and ``run_id`` are those of its last run. ``usage`` are the token counts the agent
    reported. ``duration`` is in seconds, from the arrival of the request to the end of the answer.
    ``context`` is the dict that hooks, handler and agent of the request shared.
    """

    runtime: Runtime
    request: HttpRequest
    response: HttpResponseBase
    path: str
    route: Route | None
    duration: float
    body: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    thread_id: str | None = None
    run_id: str | None = None
    usage: list[dict[str, Any]] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)

    @property
    def user(self) -> Any:
        """Who called, as AUTHENTICATION knows them; ``None`` for nobody in particular."""
        return copilotkit(self.request).user

    @property
    def scope(self) -> str:
        """Whose threads it was about."""
        return copilotkit(self.request).scope

    def take(self, events: list[dict[str, Any]]) -> None:
        """The answer was a stream of these."""
        self.events = events
        self.messages = response_messages(events)
        for event in events:
            if event["type"] == "RUN_STARTED":
                self.thread_id, self.run_id = event["threadId"], event["runId"]
            self.usage += event.get("usage") or []


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
    if isinstance(response, EventStreamResponse):
        log = RunLog()
        source = response.batches
        reader = spawn(_copy(source, log))
        idle = runtime.options.keepalive_seconds or None
        response.follow(
            log.read(idle=idle)
            if response.outlives_reader
            else _owning(log.read(idle=idle), reader)
        )
        pending = spawn(_after_stream(function, runtime, request, response, started, log, reader))
    else:
        pending = spawn(_run(function, _plain(runtime, request, response, started)))
    _pending.add(pending)
    pending.add_done_callback(_pending.discard)


async def drain(timeout: float) -> None:
    """Wait for calls that are still under way, at most so many seconds."""
    if _pending:
        await asyncio.wait(set(_pending), timeout=timeout)


async def _copy(source: AsyncIterator[Batch], log: RunLog) -> None:
    try:
        async with aclosing(source) as batches:  # type: ignore[type-var]
            async for batch in batches:
                for event in batch:
                    log.append(event)
    finally:
        log.close()


async def _owning(
    batches: AsyncIterator[Batch], reader: asyncio.Task[None]
) -> AsyncIterator[Batch]:
    """End what feeds the log when the client goes away: nobody else wants it."""
    try:
        async for batch in batches:
            yield batch
    finally:
        reader.cancel()


async def _after_stream(
    function: Any,
    runtime: Runtime,
    request: HttpRequest,
    response: HttpResponseBase,
    started: float,
    log: RunLog,
    reader: asyncio.Task[None],
) -> None:
    await asyncio.wait({reader})
    after = _plain(runtime, request, response, started)
    after.body = frame(Batch(log.events)) if log.events else b""
    after.take([decode(event) for event in log.events])
    await _run(function, after)


def _plain(
    runtime: Runtime, request: HttpRequest, response: HttpResponseBase, started: float
) -> AfterRequest:
    known = copilotkit(request)
    return AfterRequest(
        runtime=runtime,
        request=request,
        response=response,
        path=known.path,
        route=known.route,
        duration=time.monotonic() - started,
        body=b"" if response.streaming else response.content,  # type: ignore[attr-defined]
        context=known.context,
    )


async def _run(function: Any, after: AfterRequest) -> None:
    try:
        async with worker_thread():
            await call(function, after)
    except Exception:
        logger.exception("The after middleware failed.")
