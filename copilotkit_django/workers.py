"""Where synchronous code runs: on a few long-lived worker threads.

A thread of its own per request or run is what Django and asgiref give by default; starting it costs
more than most of the work it does, and each one opens a database connection of its own. Here a few
threads are shared instead, each running one call at a time, so that whoever is handed one still
sees all its synchronous calls run on one thread, in order.
"""

from __future__ import annotations

import inspect
import itertools
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connections

T = TypeVar("T")

#: More threads help only as far as the interpreter lets them run side by side.
WORKERS = min(8, 2 * (os.cpu_count() or 1))


class WorkerThreads:
    """A fixed number of one-thread executors, handed out in turn."""

    def __init__(self, name: str, count: int = WORKERS) -> None:
        self._executors = [
            ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{name}-{number}")
            for number in range(count)
        ]
        self._turns = itertools.cycle(self._executors)

    def next(self) -> ThreadPoolExecutor:
        """One of the threads. It may be shared with others; never shut it down."""
        return next(self._turns)


_background = WorkerThreads("copilotkit-run")


@contextmanager
def worker_executor() -> Iterator[Executor]:
    """One long-lived thread as an executor, tidied up after.

    For libraries that are told which executor to run synchronous code on.
    """
    executor = TidyExecutor(_background.next())
    try:
        yield executor
    finally:
        executor.release()


@asynccontextmanager
async def worker_thread() -> AsyncIterator[None]:
    """Within it, synchronous code of this task runs on one long-lived thread, tidied up after.

    For work outside of requests: runs, hooks after the answer.
    """
    with worker_executor() as executor:
        async with ThreadSensitiveContext(executor=executor):
            yield


async def call(function: Any, *arguments: Any) -> Any:
    """Call something of the project's, which may be sync or async.

    Synchronous code runs in a thread, where it may use the database.
    """
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    ):
        return await function(*arguments)
    result = await sync_to_async(function)(*arguments)
    return await result if inspect.isawaitable(result) else result


class TidyExecutor(Executor):
    """One worker thread for one run, with the database hygiene a request would get.

    Django resets broken and outdated connections at the borders of requests. A run has none, so
    the connections of its thread are looked after before its first call and after its last. Of a
    thread that other runs are using, which may be in the middle of reading, only those that are
    broken are closed.
    """

    def __init__(self, worker: Executor) -> None:
        self._worker = worker
        self._used = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        if not self._used:
            self._used = True
            self._worker.submit(_begin)
        return self._worker.submit(fn, *args, **kwargs)

    def release(self) -> None:
        """The run is over."""
        if self._used:
            self._worker.submit(_end)


class _Thread(threading.local):
    #: How many runs have used this thread and are not over.
    runs = 0


_here = _Thread()


def _begin() -> None:
    _here.runs += 1
    if _here.runs == 1:
        close_old_connections()
        return
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None and not connection.is_usable():
            connection.close()


def _end() -> None:
    _here.runs -= 1
    if not _here.runs:
        close_old_connections()
