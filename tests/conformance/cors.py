"""django-cors-headers with other settings on each port, and as talkative as the reference.

It reads the project's settings whenever it needs one; here one process stands for many projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import corsheaders.conf
from corsheaders.middleware import CorsMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

CorsSettings = Mapping[str, Any]

#: As if django-cors-headers were not installed: it answers the paths this matches, so none.
OFF: CorsSettings = {"CORS_URLS_REGEX": r"(?!)"}
ANY_ORIGIN: CorsSettings = {
    "CORS_ALLOW_ALL_ORIGINS": True,
    "CORS_ALLOW_HEADERS": ["*"],
    "CORS_ALLOW_METHODS": ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"],
}
ANY_ORIGIN_WITH_COOKIES: CorsSettings = {**ANY_ORIGIN, "CORS_ALLOW_CREDENTIALS": True}
ONE_ORIGIN: CorsSettings = {
    **ANY_ORIGIN,
    "CORS_ALLOW_ALL_ORIGINS": False,
    "CORS_ALLOWED_ORIGINS": ["https://fixed.example"],
}
TWO_ORIGINS: CorsSettings = {
    "CORS_ALLOWED_ORIGINS": ["https://app.example", "https://admin.example"],
    "CORS_ALLOW_CREDENTIALS": True,
    "CORS_ALLOW_METHODS": ["GET", "POST"],
    "CORS_ALLOW_HEADERS": ["content-type", "x-tenant"],
    "CORS_EXPOSE_HEADERS": ["x-trace", "x-cost"],
    "CORS_PREFLIGHT_MAX_AGE": 600,
}

_current: ContextVar[CorsSettings] = ContextVar("cors_settings", default=OFF)


class _CurrentSettings:
    """Stands for django.conf.settings within django-cors-headers."""

    def __getattr__(self, name: str) -> Any:
        try:
            return _current.get()[name]
        except KeyError:
            raise AttributeError(name) from None


def use(settings: CorsSettings) -> None:
    """Let the rest of this request be answered with these settings."""
    _current.set(settings)


corsheaders.conf.settings = _CurrentSettings()


class TalkativeCorsMiddleware(CorsMiddleware):
    """Answers every OPTIONS request, and tells also strangers what and who is allowed.

    No browser can tell the difference: a stranger's page is still not let in.
    """

    def check_preflight(self, request: HttpRequest) -> HttpResponseBase | None:
        answer = super().check_preflight(request)
        if answer is None and request._cors_enabled and request.method == "OPTIONS":
            return HttpResponse(status=204)
        return answer

    def add_response_headers(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        super().add_response_headers(request, response)
        conf = corsheaders.conf.conf
        if not request._cors_enabled:
            return response
        if len(conf.CORS_ALLOWED_ORIGINS) == 1:
            (origin,) = conf.CORS_ALLOWED_ORIGINS
            response.headers.setdefault("Access-Control-Allow-Origin", origin)
        if request.method == "OPTIONS":
            patch_vary_headers(
                response, ["Access-Control-Request-Headers", "Access-Control-Request-Method"]
            )
            headers = ", ".join(conf.CORS_ALLOW_HEADERS)
            response.headers.setdefault("Access-Control-Allow-Headers", headers)
            methods = ", ".join(conf.CORS_ALLOW_METHODS)
            response.headers.setdefault("Access-Control-Allow-Methods", methods)
            age = conf.CORS_PREFLIGHT_MAX_AGE
            response.headers.setdefault("Access-Control-Max-Age", str(age))
        return response
