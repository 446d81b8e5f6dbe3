"""The runs a process owns, and the leases it holds for them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from copilotkit_django.runners.base import ThreadRef
from copilotkit_django.runners.live import DurableLog
from copilotkit_django.runners.recovery import TAKEN_MESSAGE
from copilotkit_django.runners.store import Store
from copilotkit_django.runners.task import RunTask

#: What readers of a run are told whose events cannot be stored.
STORE_MESSAGE = "The conversation cannot be stored at the moment."


class Leases:
    """The live runs of one process.

    ``holder`` names the process in the rows of its threads, a lease lasts ``seconds``.
    """

    def __init__(self, store: Store, holder: str, seconds: float) -> None:
        self.holder = holder
        #: By the primary keys of their threads.
        self.live: dict[int, RunTask] = {}
        #: By the keys of their threads. A thread that changes hands gets another key; whose it is
        #: now is known here a moment later if that happens in another process.
        self._by_key: dict[str, RunTask] = {}
        self._store = store
        self._milliseconds = int(seconds * 1000)
        #: Threads that runs of ours are about to take, by key.
        self._claimed: Counter[str] = Counter()
        #: Runs that have lost such a thread, with what was said of it.
        self._superseded: list[tuple[DurableLog, Exception | None]] = []

    @contextmanager
    def claiming(self, key: str) -> Iterator[None]:
        """A run of ours is about to take a thread.

        A run that finds its thread taken meanwhile is told only afterwards: the new run, once it
        is `own`, ends the one before it as stopped, not as one that lost its thread to a stranger.
        """
        self._claimed[key] += 1
        try:
            yield
        finally:
            self._claimed[key] -= 1
            if not self._claimed[key]:
                del self._claimed[key]
                lost, self._superseded = self._superseded, []
                for log, error in lost:
                    self.lose(log, error)

    def find(self, key: str) -> RunTask | None:
        """The run of ours on a thread."""
        return self._by_key.get(key)

    def local(self, key: str) -> RunTask | None:
        """The run of ours on a thread, if it lives on this very loop."""
        task = self.find(key)
        return task if task is not None and task.loop is asyncio.get_running_loop() else None

    def own(self, task: RunTask) -> None:
        """A run has its thread. One of ours that it supersedes is stopped and no longer stored."""
        log = log_of(task)
        before = self.live.get(log.thread)
        self.live[log.thread] = self._by_key[log.key] = task
        if before is not None:
            log_of(before).abandon()
            task.supersede(before)

    def end(self, task: RunTask) -> None:
        """A run is over, and its thread free or given up."""
        log = log_of(task)
        if self.live.get(log.thread) is task:
            del self.live[log.thread]
        if self._by_key.get(log.key) is task:
            del self._by_key[log.key]

    def move(self, thread: int, to: ThreadRef, user: Any = None) -> None:
        """A thread has changed hands: the run of ours on it, if there is one, goes on there.

        Belongs to the loop of the run.
        """
        task = self.live.get(thread)
        if task is None:
            return
        log = log_of(task)
        if self._by_key.get(log.key) is task:
            del self._by_key[log.key]
        log.key = to.key
        self._by_key[log.key] = task
        task.move(to, user)

    def move_anywhere(self, thread: int, to: ThreadRef, user: Any = None) -> None:
        """The same from any loop."""
        task = self.live.get(thread)
        if task is None or task.loop.is_closed():
            return
        if task.loop is asyncio.get_running_loop():
            self.move(thread, to, user)
        else:
            task.loop.call_soon_threadsafe(self.move, thread, to, user)

    def forget(self, key: str) -> None:
        """Stop the run of a thread that is being deleted; nothing of it is written any more."""
        task = self.find(key)
        if task is not None:
            self.end(task)
            self.give_up(log_of(task))
            task.stop()

    def give_up(self, log: DurableLog) -> None:
        """Write nothing more of a run, and let the lease of its thread run out."""
        log.abandon()

    def lose(self, log: DurableLog, error: Exception | None = None) -> None:
        """A run of ours is not ours any more or, with an error, the database refuses its events."""
        task = self.live.get(log.thread)
        if task is None or task.log is not log or log.abandoned:
            return
        if log.key in self._claimed:
            self._superseded.append((log, error))
            return
        self.give_up(log)
        self.end(task)
        if error is None:
            task.cancel(TAKEN_MESSAGE, "THREAD_TAKEN")
        else:
            task.cancel(STORE_MESSAGE, "STORE_UNAVAILABLE")

    def renew(self) -> None:
        """Renew the leases of what runs here, or is about to. Belongs to the writer's thread.

        No others in our name: where the answer to a claim was lost for good, nobody runs.
        """
        threads = [pk for pk, task in self.live.copy().items() if not log_of(task).abandoned]
        claimed = list(self._claimed)
        if threads or claimed:
            self._store.renew(self.holder, self._milliseconds, threads, claimed)

    def end_now(self) -> None:
        """Have all leases run out: whoever is next ends the runs."""
        self._store.renew(self.holder, -1)


def log_of(task: RunTask) -> DurableLog:
    """The log of a run of the persistent runner."""
    log = task.log
    assert isinstance(log, DurableLog)  # noqa: S101 - the runner makes no others
    return log
