"""Tasks that outlive the request they were started in."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: The loop holds tasks only weakly; a run nobody reads must not be collected.
_tasks: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start work that outlives the request.

    The fresh context keeps the request's thread, and with it a database connection, out of it.
    """
    task = asyncio.create_task(coroutine, context=contextvars.Context())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task
