"""What a socket asks for, as the request it would be over HTTP.

Django's middleware knows nothing of websockets. Each command of a socket is therefore made a
request of its own, with the headers of the handshake, and goes where every request goes: through
the project's middleware and our gate. Identity, hooks, limits and what the project adds to requests
are the same at both doors, and are asked anew with each command.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from io import BytesIO
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.core.handlers.asgi import ASGIRequest
from django.core.signals import request_started
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch
from django.views.decorators.csrf import csrf_exempt

from copilotkit_django.admission import PASSAGE, Admission, at_the_view
from copilotkit_django.few_hops import FewHopsHandler
from copilotkit_django.gate import Handler, pass_through
from copilotkit_django.routes import Envelope, Route
from copilotkit_django.runtime import Runtime
from copilotkit_django.views import LONG_LIVED_THREADS
from copilotkit_django.workers import WorkerThreads

View = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

#: Headers of a handshake that say nothing about a command.
HANDSHAKE_ONLY = frozenset(
    {b"connection", b"upgrade", b"content-length", b"content-type", b"transfer-encoding"}
)


def handshake_of(scope: Mapping[str, Any]) -> HttpRequest:
    """The handshake of a socket as the request that it is."""
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    return ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO())


async def ask(
    runtime: Runtime,
    scope: Mapping[str, Any],
    path: str,
    route: Route,
    handler: Handler,
    body: bytes = b"",
) -> HttpResponseBase:
    """Send a command through the gate of an endpoint; ``handler`` does what the route says.

    ``scope`` is that of the socket, with the headers that tell who asks; ``path`` is what the
    request is said to be for. Never raises anything but cancellation.
    """

    async def command(request: HttpRequest) -> HttpResponseBase:
        async with at_the_view(getattr(request, "scope", {})):
            return await pass_through(runtime, request, "", handler, envelope=Envelope(route))

    return await call_view(scope, path, command, body)


async def call_view(
    scope: Mapping[str, Any], path: str, view: View, body: bytes = b"", *, method: str = "POST"
) -> HttpResponseBase:
    """Call a view with a request made of a socket's scope, behind the project's middleware."""
    request_scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "root_path": scope.get("root_path", ""),
        "query_string": b"",
        "headers": [*_headers(scope["headers"]), (b"content-length", b"%d" % len(body))],
        "client": scope.get("client"),
        "server": scope.get("server"),
        LONG_LIVED_THREADS: True,
    }
    if scope.get("scheme") in ("ws", "wss"):
        request_scope["scheme"] = "https" if scope["scheme"] == "wss" else "http"
    return await _door().answer(request_scope, body, view)


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [
        (name, value)
        for name, value in headers
        if name not in HANDSHAKE_ONLY and not name.startswith(b"sec-websocket-")
    ]
    return [*kept, (b"content-type", b"application/json")]


class _Handler(FewHopsHandler):
    """Django's handler for requests that bring their view along."""

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        view = request.copilotkit_view  # type: ignore[attr-defined]
        match = ResolverMatch(view, (), {}, url_name="websocket", route=request.path_info)
        request.resolver_match = match
        return match


class _Door:
    """The handler of one event loop, and the few threads its synchronous code runs on."""

    def __init__(self) -> None:
        self._handler = _Handler()
        self._workers = WorkerThreads("copilotkit-websocket")
        self._admission = Admission()

    async def answer(self, scope: dict[str, Any], body: bytes, view: View) -> HttpResponseBase:
        with self._admission.passage() as passage:
            scope[PASSAGE] = passage
            await passage.enter()
            async with ThreadSensitiveContext(executor=self._workers.next()):
                await request_started.asend(sender=type(self), scope=scope)
                request = ASGIRequest(scope, BytesIO(body))
                request.copilotkit_view = csrf_exempt(  # type: ignore[attr-defined]
                    login_not_required(transaction.non_atomic_requests(view))
                )
                response = await self._handler.get_response_async(request)
                # Also of a stream: what is read from it needs nothing of the request any more.
                await sync_to_async(response.close)()
                return response


_doors: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Door] = weakref.WeakKeyDictionary()


def _door() -> _Door:
    loop = asyncio.get_running_loop()
    found = _doors.get(loop)
    if found is None:
        found = _doors[loop] = _Door()
    return found
