"""Which pages may call: the same-origin check for callers with cookies, and CORS."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from asgiref.sync import sync_to_async
from corsheaders.conf import conf
from corsheaders.middleware import (
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
)
from corsheaders.middleware import CorsMiddleware as DjangoCorsMiddleware
from corsheaders.signals import check_request_enabled
from django.conf import settings
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware, RejectRequest
from django.urls import Resolver404, resolve
from django.utils.cache import patch_vary_headers
from django.utils.http import is_same_domain

from copilotkit_django.conf import Options
from copilotkit_django.exceptions import CrossOriginRefused, InvalidRequest
from copilotkit_django.visitors import ANONYMOUS_COOKIE

#: Response headers that pages of other origins may read.
EXPOSED_HEADERS = ("Retry-After",)

PREFLIGHT_VARY = ("Access-Control-Request-Headers", "Access-Control-Request-Method")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

#: What a page of any origin may send as the type of a POST without a preflight.
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})

#: Schemes of Authorization that browsers use on their own, for a site somebody has signed in to.
AMBIENT_SCHEMES = frozenset({"basic", "digest", "negotiate", "ntlm"})

_MEDIA_TYPE = re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+", re.ASCII)


async def refuse_cross_origin(request: HttpRequest, options: Options) -> None:
    """Protect callers whose browser signs them in by itself (CSRF), without a token.

    The official client sends none. An unsafe request that carries a session or visitor cookie must
    come from a page of this host or of ALLOWED_ORIGINS or CSRF_TRUSTED_ORIGINS, told by ``Origin``
    or else ``Referer``, or bring a valid CSRF token. Where AUTHENTICATION is a callable any cookie
    counts: it may be the one that signs somebody in. Raises `CrossOriginRefused`, naming the fix.

    A password the browser remembers, a certificate and the like show in no cookie. So a request
    that any page can send, without asking by a preflight first, and that does say which page did,
    must be from one of these origins, too. What is anybody's (``anonymous-shared``) is not guarded.
    """
    if request.method in SAFE_METHODS:
        return
    if callable(options.authentication):
        signed_in_by = set(request.COOKIES)
    else:
        signed_in_by = request.COOKIES.keys() & {settings.SESSION_COOKIE_NAME, ANONYMOUS_COOKIE}
    origin = request.META.get("HTTP_ORIGIN") or _origin_of(request.META.get("HTTP_REFERER", ""))
    if not signed_in_by and (
        not origin or options.authentication == "anonymous-shared" or _asks_first(request)
    ):
        return
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


def is_trusted_handshake(
    request: HttpRequest, options: Options, *, needs_origin: bool = True
) -> bool:
    """Whether the page that opens a websocket may do so. Browsers ask nobody else.

    A page has to be of this host or of ALLOWED_ORIGINS or CSRF_TRUSTED_ORIGINS. Whoever names no
    origin is no page; it is let in unless it ``needs_origin`` and shows cookies, which are a page's
    way of saying who it is.
    """
    origin = request.META.get("HTTP_ORIGIN")
    if not origin:
        return not (needs_origin and request.COOKIES)
    try:
        return _is_trusted(request, origin, options.allowed_origins)
    except InvalidRequest:
        return False


def _asks_first(request: HttpRequest) -> bool:
    """Whether a browser sends such a request to another origin only if a preflight allows it."""
    if request.method != "POST":
        return True
    scheme = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")[0].lower()
    if scheme and scheme not in AMBIENT_SCHEMES:
        return True
    media_type = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    # Of what is no media type at all a browser may think otherwise than we do.
    return _MEDIA_TYPE.fullmatch(media_type) is not None and media_type not in FORM_TYPES


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
    if is_listed(origin, set(allowed) - {"*"}) or origin in settings.CSRF_TRUSTED_ORIGINS:
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
            self._check_token(request)  # type: ignore[attr-defined]
        except (RejectRequest, MultiPartParserError, SuspiciousOperation):
            # It looks for a token in forms as well, which may be malformed.
            return False
        return True


def _has_valid_token(request: HttpRequest) -> bool:
    return _TokenCheck(lambda _: None).passes(request)  # type: ignore[arg-type]


def runtime_of(request: HttpRequest) -> Any:
    """The runtime of the endpoint a request goes to; ``None`` if it goes elsewhere."""
    try:
        view = resolve(request.path_info, getattr(request, "urlconf", None)).func
    except Resolver404:
        return None
    find = getattr(view, "copilotkit_runtime", None)
    return None if find is None else find()


@receiver(check_request_enabled, dispatch_uid="copilotkit.origins")
def allow_listed_origins(sender: Any, request: HttpRequest, **kwargs: Any) -> bool:
    """Let django-cors-headers answer pages of ALLOWED_ORIGINS, for our paths only."""
    origin = request.META.get("HTTP_ORIGIN")
    if not origin:
        return False
    runtime = runtime_of(request)
    return runtime is not None and is_listed(origin, runtime.options.allowed_origins)


def is_listed(origin: str, allowed: Iterable[str]) -> bool:
    """Whether ALLOWED_ORIGINS lets pages of this origin call."""
    return origin in allowed or "*" in allowed


class CorsMiddleware(DjangoCorsMiddleware):
    """django-cors-headers with what pages of other origins need on our paths.

    Put it where ``corsheaders.middleware.CorsMiddleware`` would stand; for all other paths it is
    that very class, but for refusing origins that end with a slash. On ours a preflight allows what
    the official client sends (``PATCH``, ``DELETE``, the headers the page has set), and pages of
    ALLOWED_ORIGINS may send cookies and read ``Retry-After``.
    """

    def check_preflight(self, request: HttpRequest) -> HttpResponseBase | None:
        answer = super().check_preflight(request)
        if answer is None and request.method == "OPTIONS":
            # A route of ours has no OPTIONS of its own.
            enabled = request._cors_enabled  # type: ignore[attr-defined]
            if enabled and runtime_of(request) is not None:
                return HttpResponse(status=204)
        return answer

    def origin_found_in_white_lists(self, origin: str, url: SplitResult) -> bool:
        # An origin ends with its host. No browser sends more, and a list of origins names none.
        return not url.path and super().origin_found_in_white_lists(origin, url)

    def add_response_headers(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        response = super().add_response_headers(request, response)
        if not getattr(request, "_cors_enabled", False):
            return response
        runtime = runtime_of(request)
        if runtime is None:
            return response
        if request.method == "OPTIONS":
            self._complete_preflight(request, response)
        origin = request.META.get("HTTP_ORIGIN", "")
        if response.get(ACCESS_CONTROL_ALLOW_ORIGIN) == origin and is_listed(
            origin, runtime.options.allowed_origins
        ):
            response[ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
            exposed = [*conf.CORS_EXPOSE_HEADERS, *EXPOSED_HEADERS]
            response[ACCESS_CONTROL_EXPOSE_HEADERS] = ", ".join(dict.fromkeys(exposed))
        return response

    def _complete_preflight(self, request: HttpRequest, response: HttpResponseBase) -> None:
        patch_vary_headers(response, PREFLIGHT_VARY)
        asked = request.META.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        # A wildcard would not cover Authorization in browsers, so what was asked for is named.
        allowed = [*conf.CORS_ALLOW_HEADERS, *(name.strip() for name in asked.split(","))]
        response[ACCESS_CONTROL_ALLOW_HEADERS] = ", ".join(dict.fromkeys(filter(None, allowed)))
        response[ACCESS_CONTROL_ALLOW_METHODS] = ", ".join(conf.CORS_ALLOW_METHODS)
        if conf.CORS_PREFLIGHT_MAX_AGE:
            response[ACCESS_CONTROL_MAX_AGE] = str(conf.CORS_PREFLIGHT_MAX_AGE)
