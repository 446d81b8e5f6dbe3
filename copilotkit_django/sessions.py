"""Sessions that websockets end with."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from copilotkit_django.notices import session_digest
from copilotkit_django.runtime import all_runtimes
from copilotkit_django.scopes import scope_of_visitor
from copilotkit_django.visitors import visitor_of


async def session_key_of(request: HttpRequest, user: Any) -> str | None:
    """The key of the session that says a request is from this user; ``None`` if none does.

    For a visitor their scope stands in its place: it ends when somebody signs in.
    """
    if user is None:
        visitor = visitor_of(request)
        return None if visitor is None else scope_of_visitor(visitor)
    if getattr(user, "pk", None) is None or not hasattr(request, "session"):
        return None
    return await sync_to_async(_session_key)(request, str(user.pk))


def _session_key(request: HttpRequest, user_pk: str) -> str | None:
    session = request.session
    return session.session_key if session.get(SESSION_KEY) == user_pk else None


@receiver(user_logged_out, dispatch_uid="copilotkit.sessions")
def tell_of_logout(sender: Any, request: HttpRequest | None, **kwargs: Any) -> None:
    """Have the websockets of a session closed, in all processes."""
    key = getattr(getattr(request, "session", None), "session_key", None)
    if key:
        for runner in {id(each.runner): each.runner for each in all_runtimes()}.values():
            runner.notify("logouts", [session_digest(key)])
