"""Which pages may call: the same-origin check for callers with cookies, and CORS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from corsheaders.signals import check_request_enabled
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.dispatch import receiver
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware, RejectRequest
from django.urls import Resolver404, resolve
from django.utils.http import is_same_domain

from copilotkit_django.conf import Options
from copilotkit_django.exceptions import CrossOriginRefused, InvalidRequest
from copilotkit_django.identity import ANONYMOUS_COOKIE

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


async def refuse_cross_origin(request: HttpRequest, options: Options) -> None:
    """Protect callers whose browser sends our cookies along (CSRF), without a token.

    The official client sends none. An unsafe request that carries a session or visitor cookie must
    come from a page of this host or of ALLOWED_ORIGINS or CSRF_TRUSTED_ORIGINS, told by ``Origin``
    or else ``Referer``, or bring a valid CSRF token. Raises `CrossOriginRefused`, naming the fix.
    """
    if request.method in SAFE_METHODS or not _carries_our_cookies(request):
        return
    origin = request.META.get("HTTP_ORIGIN") or _origin_of(request.META.get("HTTP_REFERER", ""))
    if origin and _is_trusted(request, origin, options.allowed_origins):
        return
    if "HTTP_X_CSRFTOKEN" in request.META and await sync_to_async(_has_valid_token)(request):
        return
    if origin:
        raise CrossOriginRefused(
            f"Requests from {origin[:200]} are not trusted. Add it to COPILOTKIT"
            "['ALLOWED_ORIGINS'] or CSRF_TRUSTED_ORIGINS; behind a proxy that ends TLS also check "
            "SECURE_PROXY_SSL_HEADER."
        )
    raise CrossOriginRefused(
        "The request carries a cookie but neither an Origin or Referer header nor a CSRF token. "
        "Send one of them, or send no cookies."
    )


def _carries_our_cookies(request: HttpRequest) -> bool:
    return settings.SESSION_COOKIE_NAME in request.COOKIES or ANONYMOUS_COOKIE in request.COOKIES


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""


def _is_trusted(request: HttpRequest, origin: str, allowed: Iterable[str]) -> bool:
    try:
        if origin == f"{request.scheme}://{request.get_host()}":
            return True
    except DisallowedHost:
        raise InvalidRequest("The Host header is not one of this site's.") from None
    if origin in allowed or origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        scheme, _, host = trusted.partition("://")
        if (
            host.startswith("*")
            and scheme == parts.scheme
            and is_same_domain(parts.netloc, host.removeprefix("*"))
        ):
            return True
    return False


class _TokenCheck(CsrfViewMiddleware):
    """Only the token half of Django's check; the origin half is ours."""

    def passes(self, request: HttpRequest) -> bool:
        if "CSRF_COOKIE" not in request.META:
            self.process_request(request)
        try:
            self._check_token(request)
        except RejectRequest:
            return False
        return True


def _has_valid_token(request: HttpRequest) -> bool:
    return _TokenCheck(lambda _: None).passes(request)  # type: ignore[arg-type,return-value]


@receiver(check_request_enabled, dispatch_uid="copilotkit.origins")
def allow_listed_origins(sender: Any, request: HttpRequest, **kwargs: Any) -> bool:
    """Let django-cors-headers answer pages of ALLOWED_ORIGINS, for our paths only."""
    origin = request.META.get("HTTP_ORIGIN")
    if not origin:
        return False
    try:
        view = resolve(request.path_info).func
    except Resolver404:
        return False
    find = getattr(view, "copilotkit_runtime", None)
    if find is None:
        return False
    allowed = find().options.allowed_origins
    return origin in allowed or "*" in allowed
