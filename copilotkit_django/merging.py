"""What becomes of the threads of an anonymous browser when somebody signs in on it.

They go to the user at once, when Django says that somebody has signed in. That moment has no answer
of ours, so the browser keeps its cookie until our next one to the user takes it away; whatever a
request that was under way has begun for the visitor meanwhile goes to the user before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.db import router, transaction
from django.dispatch import receiver
from django.http import HttpRequest

from copilotkit_django.notices import session_digest
from copilotkit_django.runtime import Runtime, all_runtimes, get_runtime
from copilotkit_django.scopes import scope_of_user, scope_of_visitor
from copilotkit_django.signals import scope_merged
from copilotkit_django.visitors import visitor_of

logger = logging.getLogger("copilotkit.request")


async def merge_visitor(request: HttpRequest, user: Any) -> bool:
    """Give a user the threads of the browser that sent the request, at every endpoint.

    False if some of them could not be moved, which is logged: it may be tried again.
    """
    visitor = visitor_of(request)
    if visitor is None:
        return True
    former, complete = scope_of_visitor(visitor), True
    for runtime in _merging_runtimes():
        runner = runtime.runner
        if runner.threads is None:
            continue
        try:
            scope = await scope_of_user(request, user, runtime.options)
            moved = await runner.threads.move(former, scope, user=user)
        except Exception:
            logger.exception("The threads of a visitor could not be given to the user.")
            complete = False
            continue
        # A websocket of the visitor would go on as somebody who is not there any more.
        runner.notify("logouts", [session_digest(former)])
        # Django logs what a receiver raises.
        await scope_merged.asend_robust(
            type(runner), former_scope=former, scope=scope, user=user, threads=moved
        )
    return complete


def _merging_runtimes() -> Iterator[Runtime]:
    """The endpoints for visitors. Of those that share a runner one, which speaks for all."""
    try:
        default = [get_runtime()]
    except ImproperlyConfigured:
        # Said by the system checks, and no reason to let nobody sign in.
        default = []
    seen = set()
    for runtime in (*default, *all_runtimes()):
        options, runner = runtime.options, runtime.runner
        if options.authentication != "anonymous" or not options.merge_on_login:
            continue
        if id(runner) not in seen and not runner.is_closed:
            yield runtime
        seen.add(id(runner))


@receiver(user_logged_in, dispatch_uid="copilotkit.merging.in")
@receiver(user_logged_out, dispatch_uid="copilotkit.merging.out")
def merge_when_committed(
    sender: Any, request: HttpRequest | None = None, user: Any = None, **kwargs: Any
) -> None:
    """Somebody signs in, or out without an answer of ours in between, on a browser we know.

    The runner writes on connections of its own, which would wait for a transaction that is open
    here, and a login that is rolled back was none.
    """
    if user is None or request is None or visitor_of(request) is None:
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        database = router.db_for_write(type(user), instance=user)
        transaction.on_commit(
            lambda: async_to_sync(merge_visitor)(request, user), using=database, robust=True
        )
    # Called on an event loop nothing may wait here; the user's next request does it.
