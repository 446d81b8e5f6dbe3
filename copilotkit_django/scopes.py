"""Scopes: the texts that say whose threads somebody works on."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from copilotkit_django.conf import Options
from copilotkit_django.workers import call

SHARED_SCOPE = "shared"

#: As many characters as `Thread.scope` has.
MAX_SCOPE = 255


async def scope_of_user(request: HttpRequest, user: Any, options: Options) -> str:
    """The scope of a user at an endpoint with these options."""
    if options.thread_scope is not None:
        return as_scope(await call(options.thread_scope, request, user))
    return f"user:{as_scope(user.pk)}"


def scope_of_visitor(visitor: str) -> str:
    """The scope of an anonymous browser."""
    return f"anon:{visitor}"


def as_scope(value: Any) -> str:
    """A scope as text. Refuses what stands for none: all who have none would share it.

    Raises `ImproperlyConfigured`, also for one that is too long to be stored.
    """
    if value is None or value == "":
        raise ImproperlyConfigured(
            "Somebody was let in without a scope: neither THREAD_SCOPE nor AUTHENTICATION may give "
            "None or an empty text for one, and a user needs a pk."
        )
    scope = str(value)
    if len(scope) > MAX_SCOPE:
        raise ImproperlyConfigured(
            f"A scope may have {MAX_SCOPE} characters, not {len(scope)}: let THREAD_SCOPE or "
            "AUTHENTICATION give a digest of what is longer."
        )
    return scope
