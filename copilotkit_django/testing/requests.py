"""For tests of a project's hooks and middleware, without an endpoint to call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from copilotkit_django.after import AfterRequest
from copilotkit_django.events.wire import encode
from copilotkit_django.hooks import RequestContext, copilotkit
from copilotkit_django.routes import Envelope, Route


def entered(
    request: HttpRequest,
    *,
    user: Any = None,
    scope: str = "user:1",
    route: Route | None = None,
    context: Mapping[str, Any] | None = None,
    runtime: Any = None,
) -> HttpRequest:
    """The same request as one that has entered an endpoint.

    `copilotkit`, `run_input` and the hooks of a project can be called with it. Give a ``route`` for
    what is called after routing.
    """
    request._copilotkit = RequestContext(  # type: ignore[attr-defined]
        runtime=runtime,
        path=quote(request.path),
        user=user,
        scope=scope,
        route=route,
        context=dict(context or {}),
        envelope=None if route is None else Envelope(route),
    )
    return request


def answered(
    request: HttpRequest,
    response: HttpResponseBase | None = None,
    *,
    events: Iterable[Mapping[str, Any]] = (),
    duration: float = 0.0,
) -> AfterRequest:
    """What the after middleware is called with for a request that has `entered`.

    With ``events`` the answer was a stream of them, otherwise ``response``.
    """
    if response is None:
        response = HttpResponse()
    known = copilotkit(request)
    return AfterRequest(
        runtime=known.runtime,
        request=request,
        response=response,
        path=known.path,
        route=known.route,
        duration=duration,
        sent=[encode(event) for event in events],
        context=known.context,
    )
