"""The threads that synchronous tools run in."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections

T = TypeVar("T")

#: So many synchronous tools run at a time in one process; each may hold a database connection.
LIMIT = 32

#: Beside them, so many may still be at work that nobody waits for.
MOST_ABANDONED = 32

#: A thread with nothing to do for so long ends.
IDLE_SECONDS = 30.0


class ToolThreads(Executor):
    """Threads for calls that may take long or never come back.

    Not those of `worker_thread`, which runs share: a tool that blocks must not hold up a run that
    only wants a row. A call that was given up while it runs is abandoned: its thread counts no
    more, another may take its place, and it ends with the call. They are daemons, so a call that
    never returns does not keep the process from ending. Database connections are looked after
    before and behind each call, as Django does for requests.
    """

    def __init__(
        self,
        name: str,
        *,
        limit: int = LIMIT,
        most_abandoned: int = MOST_ABANDONED,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._limit = limit
        self._most_abandoned = most_abandoned
        self._idle_seconds = idle_seconds
        self._numbers = (f"{name}-{number}" for number in itertools.count())
        #: Guards everything below.
        self._changed = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._idle = 0
        self._threads = 0
        self._abandoned = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        call = _Call(self, lambda: fn(*args, **kwargs))
        with self._changed:
            self._waiting.append(call)
            try:
                self._attend()
            except RuntimeError:
                # No more threads to be had. The caller is told so, and it must not be made later.
                self._waiting.remove(call)
                raise
        return call

    def _attend(self) -> None:
        """See to it that what waits is taken up, if there is room."""
        if self._idle >= len(self._waiting):
            self._changed.notify()
        elif self._threads - self._abandoned < self._limit:
            self._threads += 1
            # The context of whoever came first is nothing to this thread.
            run = contextvars.Context().run
            name = next(self._numbers)
            thread = threading.Thread(target=run, args=(self._work,), name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                self._threads -= 1
                raise

    def _abandon(self, call: _Call) -> None:
        with self._changed:
            if call.at_work and not call.abandoned and self._abandoned < self._most_abandoned:
                call.abandoned = True
                self._abandoned += 1
                if self._waiting:
                    # Without another thread, it waits for one of those there are.
                    with suppress(RuntimeError):
                        self._attend()

    def _work(self) -> None:
        try:
            while (call := self._next()) is not None:
                close_old_connections()
                try:
                    call.run()
                finally:
                    close_old_connections()
                    self._done(call)
                del call
        finally:
            connections.close_all()

    def _next(self) -> _Call | None:
        """The next call; ``None``: this thread is not needed any more."""
        with self._changed:
            while self._threads - self._abandoned <= self._limit:
                while self._waiting:
                    call = self._waiting.popleft()
                    if call.set_running_or_notify_cancel():
                        call.at_work = True
                        return call
                self._idle += 1
                told = self._changed.wait(self._idle_seconds)
                self._idle -= 1
                if not told and not self._waiting:
                    break
            self._threads -= 1
            return None

    def _done(self, call: _Call) -> None:
        with self._changed:
            call.at_work = False
            self._abandoned -= call.abandoned


class _Call(Future[Any]):
    """A call in a thread, which learns that nobody waits for it when it is cancelled too late."""

    def __init__(self, threads: ToolThreads, function: Callable[[], Any]) -> None:
        super().__init__()
        self._threads = threads
        self._function = function
        self.at_work = False
        self.abandoned = False

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if not cancelled:
            self._threads._abandon(self)
        return cancelled

    def run(self) -> None:
        try:
            result = self._function()
        except BaseException as error:
            self.set_exception(error)
        else:
            self.set_result(result)


_threads = ToolThreads("copilotkit-tool")


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call something synchronous in one of these threads, in the context of the caller.

    Cancelled, it stops waiting at once; the call goes on by itself if it has begun.
    """
    # Any executor will do, whatever the annotation says.
    executor: Any = _threads
    call: Any = sync_to_async(function, thread_sensitive=False, executor=executor)
    # A task between them, because asgiref may wait for the thread even when it is cancelled.
    task: asyncio.Task[T] = asyncio.create_task(call(*arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        raise
