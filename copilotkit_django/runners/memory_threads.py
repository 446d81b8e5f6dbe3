"""The threads an `InMemoryRunner` keeps, and the ``/threads`` routes on them."""

from __future__ import annotations

import builtins
import math
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from copilotkit_django.runners.base import ThreadRef
from copilotkit_django.runners.history import lowered
from copilotkit_django.runners.log import Batch
from copilotkit_django.runners.task import RunTask
from copilotkit_django.runners.threads import (
    Changes,
    GoneThread,
    MovedThread,
    ThreadQuery,
    ThreadRecord,
    ThreadState,
    ThreadStore,
)

#: Of so many threads that are no more it is known that they are.
MAX_GONE = 1000


@dataclass(slots=True)
class StoredRun:
    """A run that has ended, as it is kept."""

    position: int
    run_id: str
    digest: bytes
    ended: float
    modern: bool
    #: Compacted, with cursors.
    events: Batch
    size: int


@dataclass(slots=True)
class MemoryThread:
    """A thread with its runs and the live one, if there is one."""

    ref: ThreadRef
    created: float
    updated: float
    last_run: float = 0.0
    agent_id: str = ""
    name: str | None = None
    archived: bool = False
    #: How many runs there have been.
    position: int = 0
    #: Tells cursors of this thread from those of one of the same name that was forgotten.
    epoch: str = field(default_factory=lambda: secrets.token_hex(4))
    #: What agents remember it by, wherever it goes.
    memory_key: str = field(default_factory=lambda: uuid4().hex)
    runs: deque[StoredRun] = field(default_factory=deque)
    #: Ids of the messages its runs have sent or were sent, the oldest first.
    seen: dict[str, None] = field(default_factory=dict)
    live: RunTask | None = None
    last_run_id: str = ""
    has_failed: bool = False

    def record(self) -> ThreadRecord:
        """The thread as lists show it."""
        return ThreadRecord(
            thread_id=self.ref.thread_id,
            agent_id=self.agent_id,
            created=self.created,
            updated=self.updated,
            last_run=self.last_run,
            name=self.name,
            archived=self.archived,
        )


class MemoryThreads(ThreadStore):
    """The threads of an `InMemoryRunner`; one without a finished run does not exist yet."""

    tells_changes = True

    def __init__(
        self,
        threads: OrderedDict[str, MemoryThread],
        forget: Callable[[MemoryThread], None],
        changed: Callable[[ThreadRef, str], None],
    ) -> None:
        self._threads = threads
        self._forget = forget
        self._changed = changed
        self._gone: deque[GoneThread] = deque(maxlen=MAX_GONE)

    def gone(self, ref: ThreadRef) -> None:
        """Remember that a scope has lost a thread."""
        self._gone.append(GoneThread(ref.scope, ref.thread_id, time.time()))

    async def changes(self, since: Mapping[str, float]) -> Changes:
        never = math.inf
        return Changes(
            [
                _state(thread)
                for thread in self._threads.values()
                if thread.updated >= since.get(thread.ref.scope, never)
                and (thread.runs or thread.live is not None)
            ],
            [each for each in self._gone if each.moment >= since.get(each.scope, never)],
        )

    def _find(self, ref: ThreadRef) -> MemoryThread | None:
        thread = self._threads.get(ref.key)
        return thread if thread is not None and thread.runs else None

    async def list(self, scope: str, query: ThreadQuery) -> builtins.list[ThreadRecord]:
        records = [
            thread.record()
            for thread in self._threads.values()
            if thread.ref.scope == scope
            and thread.runs
            and (query.agent_id is None or thread.agent_id == query.agent_id)
            and (query.include_archived or not thread.archived)
            and (query.after is None or (thread.last_run, thread.ref.thread_id) < query.after)
        ]
        records.sort(key=lambda record: (record.last_run, record.thread_id), reverse=True)
        return records[: query.limit]

    async def events(self, thread: ThreadRef) -> AsyncIterator[Batch]:
        found = self._find(thread)
        return in_form([] if found is None else builtins.list(found.runs), modern=False)

    async def update(
        self, thread: ThreadRef, *, name: str | None = None, archived: bool | None = None
    ) -> ThreadRecord | None:
        found = self._find(thread)
        if found is None:
            return None
        if name is not None:
            found.name = name
        if archived is not None:
            found.archived = archived
        found.updated = time.time()
        restored = "unarchived" if archived is False else ""
        self._changed(thread, "renamed" if name is not None else restored)
        return found.record()

    async def name(self, thread: ThreadRef, name: str) -> bool:
        found = self._find(thread)
        if found is None or found.name is not None:
            return False
        return await self.update(thread, name=name) is not None

    async def delete(self, thread: ThreadRef) -> bool:
        found = self._threads.get(thread.key)
        if found is None:
            return False
        self._forget(found)
        return True

    async def clear(self, scope: str) -> None:
        for thread in builtins.list(self._threads.values()):
            if thread.ref.scope == scope:
                self._forget(thread)

    async def move(self, scope: str, to: str, *, user: Any = None) -> builtins.list[MovedThread]:
        if scope == to:
            return []
        moved = []
        for key, thread in builtins.list(self._threads.items()):
            before = thread.ref
            if before.scope != scope:
                continue
            after = ThreadRef(to, before.thread_id)
            if after.key in self._threads:
                after = ThreadRef(to, str(uuid4()))
            thread.ref = after
            self._threads[after.key] = self._threads.pop(key)
            if thread.live is not None:
                thread.live.move(after, user)
            thread.updated = time.time()
            self.gone(before)
            self._changed(before, "")
            self._changed(after, "")
            moved.append(MovedThread(before, after))
        return moved


def _state(thread: MemoryThread) -> ThreadState:
    live = thread.live
    record = thread.record()
    if live is not None and not thread.runs:
        record.agent_id, record.last_run = live.request.agent_id, thread.updated
    return ThreadState(
        scope=thread.ref.scope,
        record=record,
        key=thread.ref.key,
        position=thread.position,
        run_id=thread.last_run_id if live is None else live.run_id,
        is_running=live is not None,
        has_failed=thread.has_failed,
    )


async def in_form(runs: Iterable[StoredRun], *, modern: bool) -> AsyncIterator[Batch]:
    """The runs, each in the form for a reader that declared protocol 1.0 (``modern``) or not."""
    for run in runs:
        yield run.events if modern or not run.modern else lowered(run.events)
