"""One Django process, one profile per port: the port a request came in on decides its URLs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver, path

from .recorder import after_calls, hook_calls

#: Where requests go whose port serves no profile.
urlpatterns: list[URLPattern | URLResolver] = []

RECORDERS = (path("__after", after_calls.view), path("__hooks", hook_calls.view))


class ProfileUrls:
    """The URLconf of one profile."""

    def __init__(self, *patterns: URLPattern | URLResolver) -> None:
        self.urlpatterns = [*RECORDERS, *patterns]


_by_port: dict[str, ProfileUrls] = {}


def assign(ports: Mapping[str, int], profiles: Mapping[str, ProfileUrls]) -> None:
    """Serve each profile on the port it is given."""
    _by_port.update((str(port), profiles[name]) for name, port in ports.items())


class ProfileMiddleware:
    """Django middleware: answers a request with the URLs of its port."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if urls := _by_port.get(request.META["SERVER_PORT"]):
            request.urlconf = urls
        return await self.get_response(request)
