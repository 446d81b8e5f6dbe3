"""Who calls, and whose threads that means."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from copilotkit_django.conf import Options
from copilotkit_django.exceptions import Unauthenticated
from copilotkit_django.hooks import ShortCircuit
from copilotkit_django.workers import call

#: Holds the id of an anonymous browser, signed.
ANONYMOUS_COOKIE = "copilotkit_anonymous"
ANONYMOUS_COOKIE_AGE = 365 * 24 * 60 * 60

SHARED_SCOPE = "shared"


def _signer() -> Signer:
    # Made on use: a project's asgi.py imports this package before it names its settings.
    return Signer(salt="copilotkit.anonymous")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. Every query starts from ``scope``; ``user`` is for agents and hooks."""

    scope: str
    user: Any = None
    #: The id of an anonymous browser that has no cookie for it yet.
    new_visitor: str | None = None

    def remember(self, response: HttpResponseBase) -> None:
        """Give an anonymous browser its cookie."""
        if self.new_visitor is not None:
            _set_cookie(response, self.new_visitor)


async def identify(request: HttpRequest, options: Options) -> Identity:
    """Who sent the request, by the AUTHENTICATION setting.

    Raises `Unauthenticated`, or `ShortCircuit` with the answer an AUTHENTICATION callable gave.
    """
    mode = options.authentication
    if mode == "anonymous-shared":
        return Identity(SHARED_SCOPE)
    if mode == "session":
        user = await _session_user(request)
        if user is None:
            raise Unauthenticated("Sign in to use this assistant.")
        return await _of_user(request, user, options)
    if mode == "anonymous":
        user = await _session_user(request)
        if user is not None:
            return await _of_user(request, user, options)
        return _of_visitor(request)
    return await _of_answer(request, await call(mode, request), options)


async def _session_user(request: HttpRequest) -> Any:
    """The signed-in user: whom Django's middleware and the project's own say the request is from.

    Session and user are loaded in one hop to a thread, not in two; without a session in none.
    """
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        # Middleware may know people by other things than a session, and look them up when asked.
        with contextlib.suppress(SynchronousOnlyOperation):
            return _signed_in(request)
    return await sync_to_async(_signed_in)(request)


def _signed_in(request: HttpRequest) -> Any:
    user = getattr(request, "user", None)
    if user is None and hasattr(request, "session"):
        # AuthenticationMiddleware is not there.
        user = request.user = get_user(request)
    return user if user is not None and user.is_authenticated else None


async def _of_user(request: HttpRequest, user: Any, options: Options) -> Identity:
    if options.thread_scope is not None:
        return Identity(_scope(await call(options.thread_scope, request, user)), user)
    return Identity(f"user:{_scope(user.pk)}", user)


def _scope(value: Any) -> str:
    """A scope as text. Refuses what stands for none: all who have none would share it."""
    if value is None or value == "":
        raise ImproperlyConfigured(
            "Somebody was let in without a scope: neither THREAD_SCOPE nor AUTHENTICATION may give "
            "None or an empty text for one, and a user needs a pk."
        )
    return str(value)


def _of_visitor(request: HttpRequest) -> Identity:
    visitor = _visitor(request)
    if visitor is not None:
        return Identity(f"anon:{visitor}")
    visitor = secrets.token_urlsafe(18)
    return Identity(f"anon:{visitor}", new_visitor=visitor)


async def _of_answer(request: HttpRequest, answer: Any, options: Options) -> Identity:
    """What an AUTHENTICATION callable returned."""
    if isinstance(answer, HttpResponseBase):
        raise ShortCircuit(answer)
    if isinstance(answer, Identity):
        return answer
    if isinstance(answer, tuple):
        user, scope = answer
        return Identity(_scope(scope), user)
    if answer is None or not getattr(answer, "is_authenticated", False):
        raise Unauthenticated("Sign in to use this assistant.")
    return await _of_user(request, answer, options)


def _visitor(request: HttpRequest) -> str | None:
    value = request.COOKIES.get(ANONYMOUS_COOKIE)
    if not value:
        return None
    try:
        return _signer().unsign(value)
    except BadSignature:
        return None


def is_known_visitor(request: HttpRequest, scope: str) -> bool:
    """Whether a scope is there to stay: one of no browser's, or of one that has its cookie."""
    return not scope.startswith("anon:") or scope == f"anon:{_visitor(request)}"


def _set_cookie(response: HttpResponseBase, visitor: str) -> None:
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


def anonymous_visitor(view: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the view of the page the chat is on: an anonymous browser gets its cookie there.

    Without it ``/info`` sets the cookie; a page that starts two requests at once may then be given
    two, of which only the last one counts.
    """

    def remember(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if _visitor(request) is None:
            _set_cookie(response, secrets.token_urlsafe(18))
        return response

    if iscoroutinefunction(view):

        @functools.wraps(view)
        async def async_page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return remember(request, await view(request, *args, **kwargs))

        return async_page

    @functools.wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return remember(request, view(request, *args, **kwargs))

    return page
