"""The threads that read for the persistent runner."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import ParamSpec, TypeVar

from django.db import Error, connections

from copilotkit_django.exceptions import StoreDown
from copilotkit_django.runners.store import Store

logger = logging.getLogger("copilotkit.run")

T = TypeVar("T")
P = ParamSpec("P")

#: Threads that read; each keeps one database connection.
READERS = 2

#: A database that takes longer to answer a query is as good as gone.
READ_SECONDS = 30.0

#: Closing waits so long for queries that are under way.
CLOSE_SECONDS = 5.0


class ReaderThreads:
    """A few threads that read, each with a database connection of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="copilotkit-reader")
        #: Reading failed the last time.
        self._unreadable = False

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that reads on one of the threads.

        A connection that turns out to be dead is replaced once. Raises `StoreDown`.
        """
        loop = asyncio.get_running_loop()
        reading = functools.partial(function, *args, **kwargs)
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await loop.run_in_executor(self._threads, self._read, reading)
        except TimeoutError:
            logger.error("The database has not answered for %s s.", READ_SECONDS)
            raise StoreDown from None

    def _read(self, function: Callable[[], T]) -> T:
        connection = self._store.connection
        try:
            try:
                result = function()
            except Error:
                self._store.disconnect()
                result = function()
        except Error as error:
            self._store.disconnect()
            # Followers ask many times a second: it is said once, by one of the threads.
            level = logging.DEBUG if self._unreadable else logging.ERROR
            self._unreadable = True
            logger.log(level, "The database cannot be read: %s", error)
            raise StoreDown from error
        else:
            self._unreadable = False
            return result
        finally:
            # Nobody else empties it outside of requests.
            connection.queries_log.clear()

    def close(self) -> None:
        """End the threads and close their connections."""
        # They wait for each other, so that each thread gets one.
        together = threading.Barrier(READERS)
        closing = [self._threads.submit(self._disconnect, together) for _ in range(READERS)]
        _, waiting = wait(closing, timeout=2 * CLOSE_SECONDS)
        # The thread of a query that hangs is left to itself.
        self._threads.shutdown(wait=not (waiting or together.broken))

    def _disconnect(self, together: threading.Barrier) -> None:
        connections[self._store.alias].close()
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(CLOSE_SECONDS)
