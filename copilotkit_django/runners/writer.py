"""The group-commit writer: one thread per process that writes for all runs together."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db import DataError, Error, IntegrityError, ProgrammingError, connections

from copilotkit_django.runners.store import Store
from copilotkit_django.runners.writes import Append, Claim, Claimed, Gone, Release, Write

logger = logging.getLogger("copilotkit.store")

#: Deltas wait so long for company before they are written.
LINGER_SECONDS = 0.02

#: So many raw events, or bytes of them, make one row at the most.
SEGMENT_EVENTS = 4096
SEGMENT_BYTES = 1024 * 1024

#: The most rows and answers of one transaction.
MAX_WRITES = 512

#: Giving back a claim nobody waited for is tried for so long; then its lease runs out.
UNDO_SECONDS = 10.0

#: What the data is to blame for; anything else a database raises means it cannot be reached or
#: does not take writes just now. SQLite's driver overflows by itself.
DATA_ERRORS = (
    DataError,
    IntegrityError,
    OverflowError,
    ProgrammingError,
    TypeError,
    ValueError,
)

#: The longest pause between two attempts while the store does not answer.
MAX_PAUSE = 1.0


class StoreUnavailable(Exception):
    """The database did not take a write in time."""


class Source(Protocol):
    """A live run, as the writer sees it."""

    #: It is in the writer's queue.
    queued: bool
    #: Its lease is lost or given up: nothing of it is written any more.
    abandoned: bool
    #: Something of it was refused: a history has no holes, so nothing more of it is written. Set
    #: by the writer, which cannot wait until the run has noticed.
    broken: bool

    def unwritten(self) -> list[Append]:
        """What has come since the last time, cut into rows."""

    def written(self, upto: int) -> None:
        """Events up to this number are committed. Called on the writer's thread."""

    def lost(self) -> None:
        """Somebody else owns the thread now. Called on the writer's thread."""

    def refused(self, error: Exception) -> None:
        """The database cannot store what this run yields. Called on the writer's thread."""


@dataclass(slots=True)
class _Job:
    """A write somebody waits for, or a function to be called on the writer's thread."""

    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    deadline: float
    write: Write | None = None
    function: Callable[[], Any] | None = None


@dataclass(slots=True)
class _Batch:
    """What the next flush is about; kept as it is until it is committed."""

    jobs: list[_Job] = field(default_factory=list)
    calls: list[_Job] = field(default_factory=list)
    appends: list[tuple[Source, Append]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.jobs or self.calls or self.appends)


class GroupWriter:
    """Writes for every run of this process on one thread, in as few transactions as it can.

    Deltas wait up to 20 ms for company; a claim, an end or an urgent event takes along whatever
    waits. A flush that fails because of the store is tried again until it succeeds, with exactly
    the same content, so that an answer lost on the way does no harm; one that fails because of
    the data is halved until the run at fault is found. Nothing ends the thread but `close`.

    ``on_written`` is called on the thread after each flush, with the runs it wrote events of.
    ``every`` is called on the thread each ``period`` seconds: leases are renewed here, where a
    blocked event loop does not hold it up.
    """

    def __init__(
        self,
        store: Store,
        *,
        period: float,
        every: Callable[[], None],
        on_written: Callable[[list[int]], None],
    ) -> None:
        self._store = store
        self._on_written = on_written
        self._period = period
        self._every = every
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closing = False
        #: Counted for tests and benchmarks.
        self.flushes = 0

    async def do(self, write: Write, *, timeout: float) -> Any:
        """Write at once; returns the answer. Raises `StoreUnavailable` after ``timeout`` s."""
        return await self._wait(timeout, write=write)

    async def call(self, function: Callable[[], Any], *, timeout: float) -> Any:
        """Call a function on the writer's thread, outside of any flush; returns its result."""
        return await self._wait(timeout, function=function)

    async def _wait(self, timeout: float, **work: Any) -> Any:
        loop = asyncio.get_running_loop()
        job = _Job(loop.create_future(), loop, time.monotonic() + timeout, **work)
        self._put(job)
        try:
            async with asyncio.timeout(timeout):
                return await job.future
        except TimeoutError:
            if job.future.done() and not job.future.cancelled():
                # A loop that was held up found both the answer and the end of the wait: what was
                # claimed is claimed.
                return job.future.result()
            raise StoreUnavailable from None
        finally:
            if isinstance(job.write, Claim) and (job.future.cancelled() or not job.future.done()):
                job.write.cancelled = True

    def add(self, source: Source, *, urgent: bool = False) -> None:
        """A run has something to write."""
        if not source.queued:
            source.queued = True
            self._put(source)
        if urgent:
            self._put(None)

    def _put(self, item: Any) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._work, name="copilotkit-writer", daemon=True
                    )
                    self._thread.start()
        self._queue.put(item)

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, then end the thread and its connection."""
        self._closing = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout)

    def _work(self) -> None:
        next_call = time.monotonic() + self._period
        while not (self._closing and self._queue.empty()):
            batch = _Batch()
            try:
                self._gather(batch, next_call)
                if time.monotonic() >= next_call:
                    next_call = time.monotonic() + self._period
                    self._guarded(self._every)
                self._flush(batch)
            except Exception as error:
                # A bug of ours must not leave every run of the process without a writer.
                logger.exception("The writer failed; what it held is lost.")
                self._refuse(batch, error)
        connections[self._store.alias].close()

    def _gather(self, batch: _Batch, until: float) -> None:
        """Wait for work, then for company if none of it is urgent."""
        urgent = lingering = False
        while len(batch.jobs) + len(batch.appends) < MAX_WRITES:
            timeout = 0.0 if urgent else until - time.monotonic()
            try:
                item = self._queue.get(timeout=timeout) if timeout > 0 else self._queue.get_nowait()
            except queue.Empty:
                return
            if item is None:
                urgent = True
            elif isinstance(item, _Job):
                urgent = True
                (batch.jobs if item.write is not None else batch.calls).append(item)
            else:
                item.queued = False
                if not (item.abandoned or item.broken):
                    batch.appends += [(item, append) for append in item.unwritten()]
            if not lingering:
                lingering = True
                until = time.monotonic() + LINGER_SECONDS

    def _flush(self, batch: _Batch) -> None:
        pause = 0.05
        while not batch.is_empty:
            try:
                self._commit(batch)
                return
            except DATA_ERRORS as error:
                self._blame(batch, error)
                return
            except Error as error:
                self._store.disconnect()
                logger.warning("The store does not take writes: %s", error)
                self._expire(batch)
                time.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE)
                if self._closing:
                    return

    def _commit(self, batch: _Batch) -> None:
        connection = self._store.connection
        connection.ensure_connection()
        if connection.vendor == "sqlite":
            # A transaction that reads before it writes cannot wait for its turn to write.
            connection.transaction_mode = "IMMEDIATE"
        while batch.calls:
            self._call(batch.calls[0])
            batch.calls.pop(0)
        appends = [
            append for source, append in batch.appends if not (source.abandoned or source.broken)
        ]
        writes = [*appends, *(job.write for job in batch.jobs if job.write is not None)]
        if not writes:
            return
        answers = dict(zip(map(id, writes), self._store.write(writes), strict=True))
        connection.queries_log.clear()
        self.flushes += 1
        for source, append in batch.appends:
            if isinstance(answers.get(id(append)), Gone):
                source.lost()
            elif id(append) in answers:
                source.written(append.last + 1)
        self._answer([(job, answers[id(job.write)]) for job in batch.jobs])
        if appends:
            self._on_written(list({append.run for append in appends}))

    def _call(self, job: _Job) -> None:
        if job.future.cancelled():
            return
        try:
            result = job.function() if job.function is not None else None
        except DATA_ERRORS as error:
            self._answer([(job, error)])
        except Error:
            raise
        except Exception as error:
            self._answer([(job, error)])
        else:
            self._answer([(job, result)])

    def _blame(self, batch: _Batch, error: Exception) -> None:
        """Find what the database cannot store, and write the rest."""
        size = len(batch.appends) + len(batch.jobs)
        if size > 1:
            for half in _halves(batch):
                self._flush(half)
            return
        logger.error("A write was refused by the database.", exc_info=error)
        self._refuse(batch, error)

    def _refuse(self, batch: _Batch, error: Exception) -> None:
        for source, _ in batch.appends:
            source.broken = True
            source.refused(error)
        self._answer([(job, error) for job in (*batch.jobs, *batch.calls)])

    def _expire(self, batch: _Batch) -> None:
        """Give up on what nobody waits for any more."""
        now = time.monotonic()
        late = [job for job in (*batch.jobs, *batch.calls) if job.deadline <= now]
        self._answer([(job, StoreUnavailable()) for job in late])
        batch.jobs = [job for job in batch.jobs if job.deadline > now]
        batch.calls = [job for job in batch.calls if job.deadline > now]
        batch.appends = [item for item in batch.appends if not item[0].abandoned]

    def _answer(self, answers: Sequence[tuple[_Job, Any]]) -> None:
        by_loop = defaultdict(list)
        for job, answer in answers:
            by_loop[job.loop].append((job, answer))
        for loop, some in by_loop.items():
            try:
                loop.call_soon_threadsafe(self._resolve, some)
            except RuntimeError:
                # The loop is closed: nobody waits there any more.
                for job, answer in some:
                    self._undo(job, answer)

    def _resolve(self, answers: Sequence[tuple[_Job, Any]]) -> None:
        for job, answer in answers:
            if job.future.done():
                self._undo(job, answer)
            elif isinstance(answer, Exception):
                job.future.set_exception(answer)
            else:
                job.future.set_result(answer)

    def _undo(self, job: _Job, answer: Any) -> None:
        """Give back what was claimed for somebody who has left."""
        if isinstance(job.write, Claim) and isinstance(answer, Claimed):
            release = Release(job.write.key, answer.thread, answer.run, answer.position)
            self._put(_Job(job.future, job.loop, time.monotonic() + UNDO_SECONDS, write=release))

    def _guarded(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:
            self._store.disconnect()
            logger.warning("The store could not be looked after: %s", error)


def _halves(batch: _Batch) -> tuple[_Batch, _Batch]:
    """Two batches of the same work. The events of one run stay together, in order."""
    if len(batch.appends) > 1:
        middle = len(batch.appends) // 2
        return (
            _Batch(appends=batch.appends[:middle]),
            _Batch(appends=batch.appends[middle:], jobs=batch.jobs),
        )
    if batch.appends:
        return _Batch(appends=batch.appends), _Batch(jobs=batch.jobs)
    middle = len(batch.jobs) // 2
    return _Batch(jobs=batch.jobs[:middle]), _Batch(jobs=batch.jobs[middle:])
