"""The HTTP door: one async view that serves every route of an endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from copilotkit_django.events.wire import encode
from copilotkit_django.exceptions import NotFound, ThreadBusy
from copilotkit_django.gate import pass_through
from copilotkit_django.operations.call import Call
from copilotkit_django.operations.connect import connect
from copilotkit_django.operations.info import info
from copilotkit_django.operations.run import run
from copilotkit_django.operations.stop import stop
from copilotkit_django.operations.suggest import suggest
from copilotkit_django.operations.threads import clear, list_threads
from copilotkit_django.responses import EventStreamResponse, JsonAnswer, single_event
from copilotkit_django.routes import Envelope
from copilotkit_django.runners.log import Batch
from copilotkit_django.runtime import Runtime

#: Set in an ASGI scope whose synchronous code runs on one of a few long-lived threads.
LONG_LIVED_THREADS = "copilotkit.long_lived_threads"


def endpoint_view(find_runtime: Callable[[], Runtime]) -> Callable[..., Any]:
    """The view of an endpoint, whose runtime is looked up with each request.

    It checks the origin of requests itself, so that the official client needs no CSRF token.
    """

    async def endpoint(request: HttpRequest, path: str = "") -> HttpResponseBase:
        return await pass_through(find_runtime(), request, path, handle)

    endpoint.copilotkit_runtime = find_runtime  # type: ignore[attr-defined]
    return csrf_exempt(transaction.non_atomic_requests(endpoint))


async def handle(call: Call, envelope: Envelope, request: HttpRequest) -> HttpResponseBase:
    """Do what the route says and give the answer its HTTP form."""
    handler = HANDLERS.get(envelope.route.method)
    if handler is None:
        raise NotFound
    return await handler(call, envelope, _body(envelope, request), request)


def _body(envelope: Envelope, request: HttpRequest) -> bytes:
    """The body of the operation: the request's, or the envelope's. There, text is passed on raw."""
    if not envelope.route.single:
        return request.body
    if not envelope.has_body:
        return b""
    if isinstance(envelope.body, str):
        return envelope.body.encode(errors="surrogatepass")
    return encode(envelope.body)


async def _info(call: Call, envelope: Envelope, body: bytes, request: HttpRequest) -> HttpResponse:
    return JsonAnswer(await info(call, single=envelope.route.single))


async def _run(
    call: Call, envelope: Envelope, body: bytes, request: HttpRequest
) -> HttpResponseBase:
    try:
        reader = await run(call, _agent(envelope), body)
    except ThreadBusy as busy:
        # The only form of "no" the official client shows.
        reader = single_event({"type": "RUN_ERROR", "message": str(busy), "code": busy.error})
    return await _stream(reader, request)


async def _connect(
    call: Call, envelope: Envelope, body: bytes, request: HttpRequest
) -> HttpResponseBase:
    return await _stream(await connect(call, _agent(envelope), body), request)


async def _suggest(
    call: Call, envelope: Envelope, body: bytes, request: HttpRequest
) -> HttpResponseBase:
    return await _stream(await suggest(call, _agent(envelope), body), request)


async def _stop(call: Call, envelope: Envelope, body: bytes, request: HttpRequest) -> HttpResponse:
    return JsonAnswer(await stop(call, _agent(envelope), envelope.route.thread_id or "", body))


async def _threads(
    call: Call, envelope: Envelope, body: bytes, request: HttpRequest
) -> HttpResponse:
    return JsonAnswer(await list_threads(call, envelope.route.query or {}))


async def _clear(call: Call, envelope: Envelope, body: bytes, request: HttpRequest) -> HttpResponse:
    await clear(call)
    return HttpResponse(status=204)


def _agent(envelope: Envelope) -> str:
    return envelope.route.agent_id or ""


async def _stream(reader: AsyncIterator[Batch], request: HttpRequest) -> EventStreamResponse:
    if not getattr(request, "scope", {}).get(LONG_LIVED_THREADS):
        # The request's own thread lives as long as its response, and a database connection that
        # something in the request opened there would be held just as long.
        await sync_to_async(connections.close_all)()
    return EventStreamResponse(reader)


#: What serves each route.
HANDLERS: dict[str, Callable[[Call, Envelope, bytes, HttpRequest], Awaitable[Any]]] = {
    "info": _info,
    "agent/run": _run,
    "agent/connect": _connect,
    "agent/suggest": _suggest,
    "agent/stop": _stop,
    "threads/list": _threads,
    "threads/clear": _clear,
}
