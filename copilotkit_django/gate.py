"""What every HTTP request passes, in this order: origin, identity, ``on_request``, before
middleware, route and method, ``on_before_handler``, limits, body, handler, ``on_response``."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any
from urllib.parse import quote

from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from copilotkit_django.after import call_afterwards
from copilotkit_django.exceptions import (
    AsgiRequired,
    BodyTooLarge,
    CopilotKitError,
    MethodNotAllowed,
    NotFound,
)
from copilotkit_django.hooks import RequestContext, ShortCircuit, copilotkit
from copilotkit_django.identity import identify
from copilotkit_django.operations.call import Call
from copilotkit_django.origins import refuse_cross_origin
from copilotkit_django.ratelimit import refuse_too_many
from copilotkit_django.responses import JsonAnswer, error_answer
from copilotkit_django.routes import (
    Envelope,
    Route,
    admit,
    from_envelope,
    from_path,
    segments_of,
)
from copilotkit_django.runtime import Runtime
from copilotkit_django.workers import call

logger = logging.getLogger("copilotkit.request")

#: Does what a route says: takes the call, the envelope and the request.
Handler = Callable[[Call, Envelope, HttpRequest], Awaitable[HttpResponseBase]]

#: What hooks see as the route of an answer given before routing.
UNROUTED = Route("info")


async def pass_through(
    runtime: Runtime,
    request: HttpRequest,
    remainder: str,
    handler: Handler,
    *,
    envelope: Envelope | None = None,
) -> HttpResponseBase:
    """Answer a request: everything that is not the operation itself.

    ``remainder`` is the part of the decoded path behind the mount point; it does not matter where
    ``envelope`` says what is asked for. Never raises anything but cancellation.
    """
    context = RequestContext(runtime=runtime, path=raw_path(request) or quote(request.path))
    request._copilotkit = context  # type: ignore[attr-defined]
    try:
        if not isinstance(request, ASGIRequest):
            raise AsgiRequired(
                "Agents need an event loop that outlives the request: serve this site with an "
                "ASGI server (daphne, uvicorn, hypercorn), not with WSGI."
            )
        _read_body(request, runtime.options.max_body_bytes)
        await refuse_cross_origin(request, runtime.options)
        identity = await identify(request, runtime.options)
    except CopilotKitError as error:
        return error_answer(error)
    except ShortCircuit as answer:
        return answer.response
    except Exception as error:
        return await _failed(runtime, request, error)
    context.user, context.scope = identity.user, identity.scope
    response = await _answer(runtime, request, remainder, handler, envelope)
    identity.remember(response)
    return response


async def _answer(
    runtime: Runtime,
    request: HttpRequest,
    remainder: str,
    handler: Handler,
    given: Envelope | None,
) -> HttpResponseBase:
    hooks = runtime.hooks
    started = time.monotonic()
    try:
        try:
            request = _next(request, await hooks.call("on_request", request))
            if hooks.before_request is not None:
                try:
                    request = _next(request, await call(hooks.before_request, request))
                except ShortCircuit as answer:
                    # The reference calls neither on_response nor the after middleware here.
                    return answer.response
            try:
                envelope = given or _read_route(runtime, request, remainder)
                _route(runtime, request, envelope)
            except CopilotKitError as error:
                # There is nothing to be done, so there is no after either.
                return await _responded(runtime, request, error_answer(error))
            request, response = await _handled(runtime, request, envelope, handler)
        except ShortCircuit as answer:
            return await _responded(runtime, request, answer.response)
        response = await _responded(runtime, request, response)
        call_afterwards(runtime, request, response, started)
        return response
    except Exception as error:
        return await _failed(runtime, request, error)


def _next(request: HttpRequest, result: Any) -> HttpRequest:
    """The request to go on with after a hook. A response it returned answers at once."""
    if isinstance(result, HttpResponseBase):
        raise ShortCircuit(result)
    if isinstance(result, HttpRequest):
        return result
    return request


async def _handled(
    runtime: Runtime, request: HttpRequest, envelope: Envelope, handler: Handler
) -> tuple[HttpRequest, HttpResponseBase]:
    context = copilotkit(request)
    request = _next(request, await runtime.hooks.call("on_before_handler", request, envelope.route))
    try:
        await refuse_too_many(request, envelope.route, runtime.rates)
    except CopilotKitError as error:
        return request, error_answer(error)
    caller = Call(
        endpoint=runtime.endpoint,
        scope=context.scope,
        user=context.user,
        headers=runtime.header_policy.select(request.headers),
        request_context=context.context,
        request=request,
    )
    try:
        return request, await handler(caller, envelope, request)
    except CopilotKitError as error:
        return request, error_answer(error)


def _route(runtime: Runtime, request: HttpRequest, envelope: Envelope) -> None:
    """See that the request may ask for what it does. The context knows it even if it may not."""
    context = copilotkit(request)
    context.route, context.envelope = envelope.route, envelope
    if envelope.route.single and envelope.route.path:
        context.path = envelope.route.path
    admit(envelope.route, memories=runtime.options.expose_memory_routes)


def _read_route(runtime: Runtime, request: HttpRequest, remainder: str) -> Envelope:
    mount = request.path_info[: len(request.path_info) - len(remainder)]
    if remainder and not remainder.startswith("/") and not mount.endswith("/"):
        # Mounted at "api/copilotkit", asked for "api/copilotkitchen".
        raise NotFound
    raw = raw_remainder(request, remainder)
    if not segments_of(raw):
        if request.method != "POST":
            raise NotFound if request.method == "GET" else MethodNotAllowed("POST")
        return from_envelope(
            request.META.get("CONTENT_TYPE", ""),
            request.body,
            memories=runtime.options.expose_memory_routes,
        )
    query = request.META.get("QUERY_STRING", "")
    return Envelope(from_path(raw, request.method or "GET", query))


def raw_remainder(request: HttpRequest, remainder: str) -> str:
    """The percent-encoded form of the path behind the mount point.

    Django decodes paths before routing, which makes ``a%2Fb`` two segments; ids may hold any
    character.
    """
    decoded = getattr(request, "scope", {}).get("path", "")
    raw = raw_path(request)
    if raw is None or not decoded.endswith(remainder):
        # What is decoded once must not be decoded again with the ids.
        return quote(remainder)
    mounted_at = len(segments_of(decoded[: len(decoded) - len(remainder)]))
    return "/".join(segments_of(raw)[mounted_at:])


def raw_path(request: HttpRequest) -> str | None:
    """The path as the client encoded it, where the server tells."""
    raw: bytes = getattr(request, "scope", {}).get("raw_path") or b""
    return raw.decode("latin-1").partition("?")[0] or None


async def _responded(
    runtime: Runtime, request: HttpRequest, response: HttpResponseBase
) -> HttpResponseBase:
    route = copilotkit(request).route or UNROUTED
    try:
        replaced = await runtime.hooks.call("on_response", request, response, route)
    except ShortCircuit as answer:
        replaced = answer.response
    return replaced if isinstance(replaced, HttpResponseBase) else response


async def _failed(runtime: Runtime, request: HttpRequest, error: Exception) -> HttpResponseBase:
    """The answer for an error nobody expected. What it was stands in the log only.

    Exceptions that mean an answer, Django's and ours, get that answer, unless the hook has another.
    """
    if isinstance(error, PermissionDenied):
        usual = JsonAnswer({"error": "forbidden", "message": "You may not do this."}, status=403)
    elif isinstance(error, Http404):
        usual = error_answer(NotFound())
    elif isinstance(error, CopilotKitError):
        usual = error_answer(error)
    else:
        # A path may hold line breaks, which must not begin a line of the log.
        logger.error("%s %r failed.", request.method, request.path, exc_info=error)
        usual = JsonAnswer({"error": "internal_error"}, status=500)
    try:
        answer = await runtime.hooks.call("on_error", request, error, copilotkit(request).route)
    except ShortCircuit as short:
        answer = short.response
    except Exception:
        logger.exception("The on_error hook failed.")
        answer = None
    return answer if isinstance(answer, HttpResponseBase) else usual


def _read_body(request: HttpRequest, limit: int) -> None:
    """Make ``request.body`` available at the size the endpoint allows.

    Django refuses to show bodies above DATA_UPLOAD_MAX_MEMORY_SIZE (2.5 MB), although it has read
    them by the time a view runs; a conversation with one photograph is larger. Raises
    `BodyTooLarge`.
    """
    if hasattr(request, "_body"):
        # Middleware of the project wanted to see it.
        if len(request._body) > limit:
            raise BodyTooLarge(f"The body is larger than {limit} bytes.")
        return
    try:
        declared = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        declared = 0
    body = request.read(limit + 1) if declared <= limit else b""
    if declared > limit or len(body) > limit:
        raise BodyTooLarge(f"The body is larger than {limit} bytes.")
    request._body = body
    request._stream = BytesIO(body)
