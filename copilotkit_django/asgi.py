"""The ASGI entry point of a project that uses this app.

::

    from copilotkit_django.asgi import get_asgi_application

    application = get_asgi_application()

It is Django's own handler for everything else. For the paths of our endpoints it runs synchronous
code on a few long-lived threads instead of starting one per request, takes the hooks of middleware
in few hops instead of many, lets a burst of requests in a few at a time, bounds how large a request
body may be and how long it may take, and under daphne waits for clients that do not read. It also
raises what ``manage.py check`` would call an error of the configuration, because ASGI servers never
run checks.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import django
import orjson
from asgiref.sync import ThreadSensitiveContext
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.urls import Resolver404, URLPattern, resolve

from copilotkit_django.admission import PASSAGE, Admission
from copilotkit_django.after import drain as drain_after
from copilotkit_django.few_hops import FewHopsHandler
from copilotkit_django.flow_control import flow_of, flowing
from copilotkit_django.realtime import SOCKETS
from copilotkit_django.routing import WebsocketRoutes
from copilotkit_django.runtime import drain as drain_runs
from copilotkit_django.views import LONG_LIVED_THREADS
from copilotkit_django.workers import WorkerThreads

logger = logging.getLogger("copilotkit.request")

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Shutdown waits so long for after middleware that is under way.
AFTER_SECONDS = 5.0

#: A body earns another second for each so many bytes that have arrived.
BYTES_PER_SECOND = 64 * 1024

#: How long the rest of a refused body is read and thrown away. A connection that is closed on
#: bytes nobody has read is reset, and the client loses the answer that says why.
LINGER_SECONDS = 2


def get_asgi_application(websocket_urlpatterns: Sequence[URLPattern] = ()) -> Application:
    """Django's ASGI application, made fit for runs and streams.

    ``websocket_urlpatterns`` are Channels consumers by path: those of
    `copilotkit_django.routing`, and the project's own. Without any, websockets are refused. Raises
    `ImproperlyConfigured` with the text of every system check error of this app.
    """
    django.setup(set_prefix=False)
    _refuse_bad_configuration()
    return CopilotKitASGIHandler(websocket_urlpatterns)


def _refuse_bad_configuration() -> None:
    from copilotkit_django.checks import check_settings

    errors = [str(message) for message in check_settings() if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("\n".join(errors))


class CopilotKitASGIHandler(ASGIHandler):
    """Django's handler, with long-lived threads and a body limit for our endpoints.

    Websockets go to the consumers they are for; there are no others.
    """

    def __init__(self, websocket_urlpatterns: Sequence[URLPattern] = ()) -> None:
        super().__init__()
        self._websockets = WebsocketRoutes(websocket_urlpatterns)
        self._workers = WorkerThreads("copilotkit-http")
        self._ours = FewHopsHandler()
        self._admission = Admission()
        #: The server will tell when it stops.
        self._drains = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._drains = True
            await lifespan(receive, send)
            return
        if not self._drains:
            self._drains = True
            _drain_with_twisted()
        if scope["type"] == "websocket":
            await self._websockets(scope, receive, send)
            return
        runtime = _runtime_for(scope) if scope["type"] == "http" else None
        if runtime is None:
            await super().__call__(scope, receive, send)
            return
        options = runtime.options
        receive = limited(
            scope,
            receive,
            send,
            max_bytes=options.max_body_bytes,
            seconds=options.body_timeout_seconds,
        )
        with self._admission.passage() as passage:
            scope = {
                **scope,
                LONG_LIVED_THREADS: True,
                PASSAGE: passage,
                SOCKETS: self._websockets.realtime,
            }

            async def received() -> Message:
                message = await receive()
                if message["type"] == "http.request" and not message.get("more_body", False):
                    await passage.enter()
                return message

            async def answered(message: Message) -> None:
                # From its first byte on an answer needs no more of Django's middleware.
                passage.give_back()
                await sent(message)

            flow = flow_of(send)
            sent = send if flow is None else flowing(send, flow)
            try:
                async with ThreadSensitiveContext(executor=self._workers.next()):
                    await self._ours.handle(scope, received, answered)
            finally:
                if flow is not None:
                    flow.end()


def _runtime_for(scope: Scope) -> Any:
    """The runtime whose endpoint a request goes to, or ``None``."""
    prefix = get_script_prefix(scope)
    try:
        view = resolve(scope["path"].removeprefix(prefix) or "/").func
    except Resolver404:
        return None
    find = getattr(view, "copilotkit_runtime", None)
    return None if find is None else find()


def limit_body(application: Application, *, max_bytes: int, seconds: float = 30) -> Application:
    """Wrap any ASGI application so that request bodies are bounded in size and in time.

    Django reads a whole body before any view runs, so this is the only place where it can be
    refused early. The answers are a JSON 413 and a JSON 408.
    """

    async def limiting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            receive = limited(scope, receive, send, max_bytes=max_bytes, seconds=seconds)
        await application(scope, receive, send)

    return limiting


def limited(
    scope: Scope, receive: Receive, send: Send, *, max_bytes: int, seconds: float
) -> Receive:
    """A ``receive`` that answers for the application when a body is too large or too slow.

    The application then sees the client gone. ``seconds`` is what a body has to arrive, plus one
    for each 64 KiB of it.
    """
    started: float | None = None
    size = 0
    done = False

    async def refuse(status: int, error: str, message: str) -> Message:
        nonlocal done
        is_complete, done = done, True
        await _answer_early(send, status, {"error": error, "message": message})
        if not is_complete:
            await _discard(receive)
        await send({"type": "http.response.body"})
        return {"type": "http.disconnect"}

    async def limited_receive() -> Message:
        nonlocal started, size, done
        if done:
            return await receive()
        loop = asyncio.get_running_loop()
        if started is None:
            started = loop.time()
            if _declared(scope) > max_bytes:
                return await too_large()
        deadline = started + seconds + size / BYTES_PER_SECOND
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            return await refuse(408, "body_timeout", "The body took too long to arrive.")
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            done = not message.get("more_body", False)
            if size > max_bytes:
                return await too_large()
        return message

    async def too_large() -> Message:
        return await refuse(413, "body_too_large", f"The body is larger than {max_bytes} bytes.")

    return limited_receive


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _answer_early(send: Send, status: int, data: dict[str, str]) -> None:
    """Send all of an answer, but not yet the end of it, at which servers close the connection."""
    body = orjson.dumps(data)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        # What is still to come of the body is nothing anybody could go on from.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _discard(receive: Receive) -> None:
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        pass


async def lifespan(receive: Receive, send: Send) -> None:
    """Take part in the server's start and shutdown, which Django's handler does not."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await drain_all()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def drain_all() -> None:
    """End live runs, free their threads, and let the after middleware finish."""
    await drain_runs()
    await drain_after(AFTER_SECONDS)


def _drain_with_twisted() -> None:
    """Under daphne, which knows no lifespan, have its reactor wait for the drain."""
    if "daphne.server" not in sys.modules:
        return
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    loop = asyncio.get_running_loop()

    def stopping() -> Any:
        return Deferred.fromFuture(asyncio.ensure_future(drain_all(), loop=loop))

    reactor.addSystemEventTrigger("before", "shutdown", stopping)  # type: ignore[arg-type]
