"""The cookie that anonymous browsers are known by."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from copilotkit_django.scopes import scope_of_visitor

#: Holds the id of an anonymous browser, signed.
ANONYMOUS_COOKIE = "copilotkit_anonymous"
ANONYMOUS_COOKIE_AGE = 365 * 24 * 60 * 60


def _signer() -> Signer:
    # Made on use: a project's asgi.py imports this package before it names its settings.
    return Signer(salt="copilotkit.anonymous")


def new_visitor() -> str:
    """An id for a browser that has none."""
    return secrets.token_urlsafe(18)


def visitor_of(request: HttpRequest) -> str | None:
    """The id of the browser that sent the request; ``None`` if it shows none of ours."""
    value = request.COOKIES.get(ANONYMOUS_COOKIE)
    if not value:
        return None
    try:
        return _signer().unsign(value)
    except BadSignature:
        return None


def is_known_visitor(request: HttpRequest, scope: str) -> bool:
    """Whether a scope is there to stay: one of no browser's, or of one that has its cookie."""
    if not scope.startswith(scope_of_visitor("")):
        return True
    visitor = visitor_of(request)
    return visitor is not None and scope == scope_of_visitor(visitor)


def remember_visitor(response: HttpResponseBase, visitor: str) -> None:
    """Give a browser its cookie."""
    response.set_cookie(
        ANONYMOUS_COOKIE,
        _signer().sign(visitor),
        max_age=ANONYMOUS_COOKIE_AGE,
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite=settings.SESSION_COOKIE_SAMESITE,
        path=settings.SESSION_COOKIE_PATH,
        domain=settings.SESSION_COOKIE_DOMAIN,
    )
    patch_vary_headers(response, ["Cookie"])


def forget_visitor(response: HttpResponseBase) -> None:
    """Take the cookie away from a browser."""
    response.delete_cookie(
        ANONYMOUS_COOKIE,
        samesite=settings.SESSION_COOKIE_SAMESITE,
        path=settings.SESSION_COOKIE_PATH,
        domain=settings.SESSION_COOKIE_DOMAIN,
    )
    patch_vary_headers(response, ["Cookie"])
