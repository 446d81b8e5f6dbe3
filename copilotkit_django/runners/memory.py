"""The runner that keeps everything in this process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable

from copilotkit_django.events.wire import encode
from copilotkit_django.exceptions import ThreadBusy
from copilotkit_django.runners.base import AgentRunner, RunRequest, ThreadRef
from copilotkit_django.runners.history import lowered, message_ids, reset_marker
from copilotkit_django.runners.log import (
    BATCH_BYTES,
    COMPACTED,
    MAX_BATCH,
    RAW,
    START,
    Batch,
    Cursor,
    RunLog,
)
from copilotkit_django.runners.memory_threads import (
    MemoryThread,
    MemoryThreads,
    StoredRun,
    in_form,
)
from copilotkit_django.runners.task import RunTask

logger = logging.getLogger("copilotkit.run")

#: How long after its end a run is still given to whoever sends the same request again.
RESEND_SECONDS = 60

#: So many ids of messages are known of a thread: who sends one again that is older adds it anew.
MAX_SEEN = 50_000

#: What an id takes besides its text.
ID_OVERHEAD = 100

#: Drain waits so long for agents to take note of the end.
DRAIN_SECONDS = 2


class InMemoryRunner(AgentRunner):
    """Keeps threads and runs in this process; a restart forgets them.

    For development, tests and single-process sites whose conversations may be lost. At most
    ``max_threads`` threads (the least recently used go first), ``max_runs_per_thread`` runs each
    (the oldest go first; ``None``: all) and ``max_bytes`` of stored events and message ids are
    kept. A thread that a run holds is never dropped.
    """

    def __init__(
        self,
        *,
        max_threads: int = 1000,
        max_runs_per_thread: int | None = 100,
        max_bytes: int = 512 * 1024 * 1024,
    ) -> None:
        if max_threads < 1 or max_bytes < 1:
            raise ValueError("max_threads and max_bytes must be at least 1.")
        self.max_threads = max_threads
        self.max_runs_per_thread = max_runs_per_thread or None
        self.max_bytes = max_bytes
        #: By key, the least recently used first.
        self._threads: OrderedDict[str, MemoryThread] = OrderedDict()
        self.threads: MemoryThreads = MemoryThreads(self._threads, self._forget, self.changed)
        self._bytes = 0
        self._warned = False

    async def run(self, request: RunRequest) -> AsyncIterator[Batch]:
        key = request.thread.key
        idle = request.policy.idle
        superseded: RunTask | None = None
        thread = self._threads.get(key)
        if thread is not None:
            again = self._same_request(thread, request)
            if again is not None:
                return again
            if thread.live is not None:
                if not request.policy.supersede:
                    raise ThreadBusy
                # It no longer owns the thread, so what it still does is not stored.
                superseded, thread.live = thread.live, None
        else:
            now = time.time()
            thread = self._threads[key] = MemoryThread(request.thread, created=now, updated=now)
        thread.position += 1
        thread.updated = time.time()
        log = RunLog(f"{thread.epoch}-{thread.position}.")
        task = RunTask(
            request,
            runner=self,
            seen=thread.seen.__contains__,
            on_end=self._ended,
            log=log,
            memory_key=thread.memory_key,
        )
        if thread.position == 1:
            task.begins_thread()
        if superseded is not None:
            task.supersede(superseded)
        thread.live = task
        self._threads.move_to_end(key)
        task.start()
        self.changed(request.thread, "created" if thread.position == 1 else "")
        return task.log.read(idle=idle)

    def _same_request(
        self, thread: MemoryThread, request: RunRequest
    ) -> AsyncIterator[Batch] | None:
        """A reader of the run this very request has started before, if it did so lately."""
        run_id, digest = request.input.run_id, request.digest
        if not digest:
            return None
        live = thread.live
        if live is not None:
            return live.log.read(idle=request.policy.idle) if live.is_of(request) else None
        last = thread.runs[-1] if thread.runs else None
        if last is None or (last.run_id, last.digest) != (run_id, digest):
            return None
        if time.time() - last.ended > RESEND_SECONDS:
            return None
        return in_form([last], modern=request.input.protocol_version is not None)

    async def _ended(self, task: RunTask) -> None:
        thread = self._threads.get(task.request.thread.key)
        if thread is None or thread.live is not task:
            return
        thread.live = None
        self.changed(thread.ref)
        thread.updated = time.time()
        thread.last_run_id, thread.has_failed = task.run_id, task.outcome == "failed"
        if task.failed_silently:
            if not thread.runs:
                del self._threads[thread.ref.key]
                self.threads.gone(thread.ref)
            return
        compacted = task.pipeline.compacted()
        self._see(thread, message_ids(compacted))
        # Nothing has begun on the thread since, so this is the last of its runs.
        prefix = f"{thread.epoch}-{thread.position}.{COMPACTED}"
        events = Batch(map(encode, compacted), prefix)
        now = time.time()
        run = StoredRun(
            position=thread.position,
            run_id=task.run_id,
            digest=task.request.digest,
            ended=now,
            modern=task.request.input.protocol_version is not None,
            events=events,
            size=sum(map(len, events)),
        )
        thread.runs.append(run)
        thread.updated = thread.last_run = now
        thread.agent_id = task.request.agent_id
        self._bytes += run.size
        self._make_room(thread)

    def _see(self, thread: MemoryThread, ids: Iterable[str]) -> None:
        new = dict.fromkeys(id for id in ids if id not in thread.seen)
        thread.seen.update(new)
        self._bytes += sum(map(_size_of_id, new))
        while len(thread.seen) > MAX_SEEN:
            oldest = next(iter(thread.seen))
            del thread.seen[oldest]
            self._bytes -= _size_of_id(oldest)

    def _make_room(self, written: MemoryThread) -> None:
        limit = self.max_runs_per_thread
        while limit is not None and len(written.runs) > limit:
            self._bytes -= written.runs.popleft().size
        while len(self._threads) > self.max_threads or self._bytes > self.max_bytes:
            idle = (
                key
                for key, thread in self._threads.items()
                if thread is not written and thread.live is None
            )
            key = next(idle, None)
            if key is None:
                return
            self._drop(key)
            if not self._warned:
                self._warned = True
                logger.warning(
                    "InMemoryRunner is full and forgets its least recently used threads. Use a "
                    "persistent runner to keep them."
                )

    def _drop(self, key: str) -> None:
        thread = self._threads.pop(key)
        self.threads.gone(thread.ref)
        self.changed(thread.ref)
        self._bytes -= sum(run.size for run in thread.runs) + sum(map(_size_of_id, thread.seen))

    async def connect(
        self,
        thread: ThreadRef,
        *,
        idle: float | None = None,
        modern: bool = False,
        after: Cursor | None = None,
    ) -> AsyncIterator[Batch]:
        found = self._threads.get(thread.key)
        if found is None:
            return in_form([], modern=modern)
        self._threads.move_to_end(thread.key)
        if after is None:
            return _replay(list(found.runs), found.live, modern=modern, idle=idle)
        return _resume(found, list(found.runs), found.live, after, modern=modern, idle=idle)

    async def stop(self, thread: ThreadRef, run_id: str | None = None) -> bool:
        found = self._threads.get(thread.key)
        if found is None or found.live is None:
            return False
        if run_id is not None and found.live.run_id != run_id:
            return False
        return found.live.stop()

    async def is_running(self, thread: ThreadRef) -> bool:
        found = self._threads.get(thread.key)
        return found is not None and found.live is not None

    async def drain(self) -> None:
        self.names.cancel()
        live = [thread.live for thread in self._threads.values() if thread.live is not None]
        for task in live:
            task.cancel()
        if live:
            await asyncio.gather(*(task.wait(DRAIN_SECONDS) for task in live))

    def _forget(self, thread: MemoryThread) -> None:
        live, thread.live = thread.live, None
        if live is not None:
            live.stop()
        self._drop(thread.ref.key)


def _size_of_id(id: str) -> int:
    return len(id) + ID_OVERHEAD


async def _replay(
    runs: Iterable[StoredRun], live: RunTask | None, *, modern: bool, idle: float | None
) -> AsyncIterator[Batch]:
    """The stored runs in order, many in one batch, then the live one to its end."""
    batch, size = Batch(), 0
    for run in runs:
        batch += run.events if modern or not run.modern else lowered(run.events)
        size += run.size
        if len(batch) >= MAX_BATCH or size >= BATCH_BYTES:
            yield batch
            await asyncio.sleep(0)
            batch, size = Batch(), 0
    if batch:
        yield batch
    if live is not None:
        async for news in _follow(live, 0, modern=modern, idle=idle):
            yield news


async def _resume(
    thread: MemoryThread,
    runs: Iterable[StoredRun],
    live: RunTask | None,
    after: Cursor,
    *,
    modern: bool,
    idle: float | None,
) -> AsyncIterator[Batch]:
    """What came after a cursor, one run a batch, so that each event has a cursor of its own."""
    position, number = after.position, after.number
    if after is not START and after.epoch != thread.epoch:
        yield Batch([reset_marker(0)])
        position = 0
    for run in runs:
        events = run.events
        if run.position < position:
            continue
        if run.position == position and after.form == COMPACTED:
            events = Batch(events[number + 1 :], events.prefix, number + 1)
        elif run.position == position:
            # Only the compacted form is kept, and that does not tell what was had of the other.
            yield Batch([reset_marker(position)])
        yield events if modern or not run.modern else lowered(events)
        await asyncio.sleep(0)
    if live is not None:
        had = number + 1 if thread.position == position and after.form == RAW else 0
        async for news in _follow(live, had, modern=modern, idle=idle):
            yield news


async def _follow(
    live: RunTask, had: int, *, modern: bool, idle: float | None
) -> AsyncIterator[Batch]:
    as_is = modern or live.request.input.protocol_version is None
    async for batch in live.log.read(had, idle=idle):
        yield batch if as_is else lowered(batch)
