"""One Django process, one profile per port: the port a request came in on decides its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, path, set_urlconf

from . import cors
from .recorder import after_calls, hook_calls

Pattern = URLPattern | URLResolver

#: Where requests go whose port serves no profile.
urlpatterns: list[Pattern] = []

RECORDERS = (path("__after", after_calls.view), path("__hooks", hook_calls.view))


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """The project's own 404 page, for paths outside of every mount point."""
    return JsonResponse({"error": "Not found"}, status=404)


class Site:
    """What one profile serves. It is the URLconf of its requests."""

    handler404 = staticmethod(not_found)

    def __init__(self, pattern: Pattern, cors_settings: cors.CorsSettings) -> None:
        self.urlpatterns = [*RECORDERS, pattern]
        self.cors_settings = cors_settings


_current: ContextVar[Site] = ContextVar("site")


class Ports:
    """The ASGI application: passes each request on to Django as one for the site of its port."""

    def __init__(self, application: Any, sites: Mapping[int, Site]) -> None:
        self._application = application
        self._sites = sites

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            site = self._sites[scope["server"][1]]
            _current.set(site)
            cors.use(site.cors_settings)
            # For the ASGI handler, which looks a path up before Django makes a request of it.
            set_urlconf(site)
        await self._application(scope, receive, send)


class SiteMiddleware:
    """Django middleware: lets a request be answered with the URLs of its site."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.urlconf = _current.get()
        return await self.get_response(request)
