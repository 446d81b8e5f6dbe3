"""How often a caller may ask: rates counted by django-ratelimit, off the event loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest
from django_ratelimit.core import get_usage

from copilotkit_django.exceptions import RateLimited
from copilotkit_django.hooks import copilotkit
from copilotkit_django.rates import Rate, operation_of
from copilotkit_django.routes import Route
from copilotkit_django.scopes import SHARED_SCOPE
from copilotkit_django.visitors import is_known_visitor

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("copilotkit.request")

#: Callers without an address (a server behind a socket file) are counted together.
NO_ADDRESS = "no address"

#: What is asked of callers when the counters cannot be reached.
OUTAGE_SECONDS = 5


async def refuse_too_many(
    request: HttpRequest, route: Route, rates: Mapping[str, Sequence[Rate]]
) -> None:
    """Count a request against the limits of its operation.

    Of several limits all count; a request that one of them refuses does not count against those
    after it. Raises `RateLimited`.
    """
    operation = operation_of(route.method)
    limits = rates.get(operation or "")
    if limits:
        # One hop to a thread for all of them: caches are called synchronously.
        await sync_to_async(_count)(request, f"copilotkit.{operation}", limits)


def _count(request: HttpRequest, group: str, limits: Sequence[Rate]) -> None:
    for limit in limits:
        key = _key(request, limit.key)
        try:
            usage = get_usage(request, group=group, key=key, rate=limit.rate, increment=True)
        except Exception:
            logger.exception("Requests cannot be counted.")
            if getattr(settings, "RATELIMIT_FAIL_OPEN", False):
                continue
            raise RateLimited(OUTAGE_SECONDS) from None
        if usage is not None and usage["should_limit"]:
            # The window may end within this second.
            raise RateLimited(max(1, usage["time_left"]))


def _key(request: HttpRequest, key: str | Callable[..., Any]) -> str | Callable[..., Any]:
    """The key as django-ratelimit takes it."""
    if key == "owner":
        owner = owner_of(request)
        if owner is not None:
            return lambda group, request: owner
        key = "ip"
    if key == "ip" and not (
        request.META.get("REMOTE_ADDR") or getattr(settings, "RATELIMIT_IP_META_KEY", None)
    ):
        return lambda group, request: NO_ADDRESS
    return key


def owner_of(request: HttpRequest) -> str | None:
    """Who asks, in a text that is the same next time; ``None`` if nothing but the address tells.

    A browser that shows no cookie of ours is a new visitor with every request.
    """
    known = copilotkit(request)
    if known.user is not None and getattr(known.user, "pk", None) is not None:
        return f"user:{known.user.pk}"
    if known.scope == SHARED_SCOPE or not is_known_visitor(request, known.scope):
        return None
    return known.scope
