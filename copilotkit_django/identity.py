"""Who calls, and whose threads that means."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from copilotkit_django.conf import Options
from copilotkit_django.exceptions import Unauthenticated
from copilotkit_django.hooks import ShortCircuit
from copilotkit_django.merging import merge_visitor
from copilotkit_django.scopes import SHARED_SCOPE, as_scope, scope_of_user, scope_of_visitor
from copilotkit_django.visitors import (
    ANONYMOUS_COOKIE,
    forget_visitor,
    new_visitor,
    remember_visitor,
    visitor_of,
)
from copilotkit_django.workers import call

__all__ = ["ANONYMOUS_COOKIE", "Identity", "anonymous_visitor", "identify"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. Every query starts from ``scope``; ``user`` is for agents and hooks."""

    scope: str
    user: Any = None
    #: The id of an anonymous browser that has no cookie for it yet.
    new_visitor: str | None = None
    #: The browser still has the cookie of a visitor who is the user by now.
    was_visitor: bool = False

    def remember(self, response: HttpResponseBase) -> None:
        """Give an anonymous browser its cookie; take it away where somebody has signed in."""
        if self.new_visitor is not None:
            remember_visitor(response, self.new_visitor)
        elif self.was_visitor:
            forget_visitor(response)


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
            return await _of_former_visitor(request, user, options)
        return _of_visitor(request)
    identity = await _of_answer(request, await call(mode, request), options)
    if identity.user is not None:
        _sign(request, identity.user)
    return identity


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


def _sign(request: HttpRequest, user: Any) -> None:
    """Have ``request.user`` be the caller: hooks look there, and a session may say otherwise."""

    async def auser() -> Any:
        return user

    request.user = user
    request.auser = auser


async def _of_user(request: HttpRequest, user: Any, options: Options) -> Identity:
    return Identity(await scope_of_user(request, user, options), user)


async def _of_former_visitor(request: HttpRequest, user: Any, options: Options) -> Identity:
    """A user, on a browser that may have been anonymous when it was last seen here."""
    identity = await _of_user(request, user, options)
    if visitor_of(request) is not None and await merge_visitor(request, user):
        return replace(identity, was_visitor=True)
    return identity


def _of_visitor(request: HttpRequest) -> Identity:
    visitor = visitor_of(request)
    if visitor is not None:
        return Identity(scope_of_visitor(visitor))
    visitor = new_visitor()
    return Identity(scope_of_visitor(visitor), new_visitor=visitor)


async def _of_answer(request: HttpRequest, answer: Any, options: Options) -> Identity:
    """What an AUTHENTICATION callable returned."""
    if isinstance(answer, HttpResponseBase):
        raise ShortCircuit(answer)
    if isinstance(answer, Identity):
        return answer
    if isinstance(answer, tuple):
        user, scope = answer
        return Identity(as_scope(scope), user)
    if answer is None or not getattr(answer, "is_authenticated", False):
        raise Unauthenticated("Sign in to use this assistant.")
    return await _of_user(request, answer, options)


def anonymous_visitor(view: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the view of the page the chat is on: an anonymous browser gets its cookie there.

    Without it ``/info`` sets the cookie; a page that starts two requests at once may then be given
    two, of which only the last one counts. A browser on which somebody is signed in gets none.
    """

    def remember(response: HttpResponseBase, user: Any) -> HttpResponseBase:
        if user is None:
            remember_visitor(response, new_visitor())
        return response

    if iscoroutinefunction(view):

        @functools.wraps(view)
        async def async_page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            response: HttpResponseBase = await view(request, *args, **kwargs)
            if visitor_of(request) is not None:
                return response
            return remember(response, await _session_user(request))

        return async_page

    @functools.wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = view(request, *args, **kwargs)
        if visitor_of(request) is not None:
            return response
        return remember(response, _signed_in(request))

    return page
