"""django-cors-headers with other settings on each port.

It reads the project's settings whenever it needs one; here one process stands for many projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import corsheaders.conf
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from copilotkit_django.origins import CorsMiddleware

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


class FixedOriginCorsMiddleware(CorsMiddleware):
    """Names the origin of a list of one in every answer, as the reference does.

    No browser can tell the difference: a stranger's page is still not let in.
    """

    def add_response_headers(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        super().add_response_headers(request, response)
        origins = corsheaders.conf.conf.CORS_ALLOWED_ORIGINS
        if request._cors_enabled and len(origins) == 1:
            response.headers.setdefault("Access-Control-Allow-Origin", origins[0])
        return response
