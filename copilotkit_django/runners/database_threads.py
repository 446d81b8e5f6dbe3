"""The ``/threads`` routes on the persistent runner."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import F, Q, Value
from django.db.models.functions import Collate
from django.utils import timezone

from copilotkit_django.keys import digest_of
from copilotkit_django.models import DeletedThread, Run, Thread
from copilotkit_django.runners.base import ThreadRef
from copilotkit_django.runners.history import lowered
from copilotkit_django.runners.log import Batch
from copilotkit_django.runners.moving import move_threads
from copilotkit_django.runners.reading import Replay
from copilotkit_django.runners.sql import chunks
from copilotkit_django.runners.threads import (
    Changes,
    GoneThread,
    MovedThread,
    ThreadQuery,
    ThreadRecord,
    ThreadState,
    ThreadStore,
)

if TYPE_CHECKING:
    from copilotkit_django.runners.database import DatabaseRunner

#: Of so many changes to a scope are those told who watch it; nobody looks at longer lists.
MAX_CHANGES = 1000

#: Threads deleted in one transaction.
CLEAR_BATCH = 100


class DatabaseThreads(ThreadStore):
    """Threads in the database. One without a finished run does not exist yet."""

    def __init__(self, runner: DatabaseRunner) -> None:
        self._runner = runner

    @property
    def _threads(self) -> Any:
        return Thread.objects.using(self._runner.store.alias)

    async def list(self, scope: str, query: ThreadQuery) -> builtins.list[ThreadRecord]:
        threads = self._threads.in_scope(scope).with_runs()
        if query.agent_id is not None:
            threads = threads.filter(agent_id=self._exactly(query.agent_id))
        if not query.include_archived:
            threads = threads.filter(archived=False)
        if query.after is not None:
            last_run, thread_id = query.after
            moment = _moment(last_run)
            threads = threads.filter(
                Q(last_run_at__lt=moment) | Q(last_run_at=moment, thread_id__lt=thread_id)
            )
        threads = threads.order_by("-last_run_at", "-thread_id")
        if query.limit is not None:
            threads = threads[: query.limit]
        return await self._runner.read(lambda: [_record(thread) for thread in threads])

    def _exactly(self, text: str) -> Any:
        """A text to compare with; left to themselves, MySQL and MariaDB ignore case and accents."""
        is_mysql = self._runner.store.vendor == "mysql"
        return Collate(Value(text), "utf8mb4_bin") if is_mysql else text

    async def events(self, thread: ThreadRef) -> AsyncIterator[Batch]:
        return self._events(thread.key)

    async def _events(self, key: str) -> AsyncIterator[Batch]:
        head = await self._runner.read(self._runner.store.head, key)
        if head is None:
            return
        async for run in Replay(self._runner).runs(head, after=0):
            if run.compacted:
                events = Batch(run.compacted.split(b"\n"))
                yield lowered(events) if run.modern else events

    async def update(
        self, thread: ThreadRef, *, name: str | None = None, archived: bool | None = None
    ) -> ThreadRecord | None:
        changes: dict[str, Any] = {"updated_at": timezone.now()}
        if name is not None:
            changes["name"] = name
        if archived is not None:
            changes["archived"] = archived
        key = thread.key

        def change() -> ThreadRecord | None:
            found = self._threads.with_runs().filter(key=key)
            found.update(**changes)
            row = found.first()
            return None if row is None else _record(row)

        record = await self._runner.write(change)
        if record is not None:
            restored = "unarchived" if archived is False else ""
            self._runner.changed(thread, "renamed" if name is not None else restored)
        return record

    async def name(self, thread: ThreadRef, name: str) -> bool:
        unnamed = self._threads.with_runs().filter(key=thread.key, name="")
        changes = {"name": name, "updated_at": timezone.now()}
        if not await self._runner.write(lambda: unnamed.update(**changes)):
            return False
        self._runner.changed(thread, "renamed")
        return True

    async def delete(self, thread: ThreadRef) -> bool:
        key = thread.key
        self._runner.leases.forget(key)
        deleted = await self._runner.write(self._runner.store.delete_threads, [key]) > 0
        self._runner.changed(thread)
        return deleted

    async def clear(self, scope: str) -> None:
        while True:
            keys = await self._runner.read(
                lambda: builtins.list(
                    self._threads.in_scope(scope).values_list("key", flat=True)[:CLEAR_BATCH]
                )
            )
            if not keys:
                return
            for key in keys:
                self._runner.leases.forget(key)
            await self._runner.write(self._runner.store.delete_threads, keys)
            self._runner.changed(ThreadRef(scope, ""))

    async def move(self, scope: str, to: str, *, user: Any = None) -> builtins.list[MovedThread]:
        # Asked with every request of a browser that does not let go of its cookie.
        if not await self._runner.read(self._threads.in_scope(scope).exists):
            return []
        owner = user if is_owner(user, to) else None
        moves = await self._runner.write(move_threads, self._runner.store, scope, to, owner)
        for move in moves:
            self._runner.leases.move_anywhere(move.pk, move.thread.after, user)
            self._runner.changed(move.thread.before)
            self._runner.changed(move.thread.after)
        return [move.thread for move in moves]

    tells_changes = True
    is_shared = True

    async def changes(self, since: Mapping[str, float]) -> Changes:
        threads: builtins.list[ThreadState] = []
        gone: builtins.list[GoneThread] = []
        for scopes in chunks(builtins.list(since)):
            found = await self._runner.read(self._changes, {each: since[each] for each in scopes})
            threads += found.threads
            gone += found.gone
        return Changes(threads, gone)

    def _changes(self, since: Mapping[str, float]) -> Changes:
        scopes = {digest_of(scope): scope for scope in since}
        earliest = _moment(min(since.values()))
        # The runner's tables are asked as a reader's thread does, without locks.
        rows = self._threads.filter(scope_key__in=builtins.list(scopes), updated_at__gte=earliest)
        visible = rows.exclude(last_run_at=None, holder="").order_by("-updated_at")[:MAX_CHANGES]
        deleted = DeletedThread.objects.using(self._runner.store.alias).filter(
            scope_key__in=builtins.list(scopes), deleted_at__gte=earliest
        )
        gone = deleted.order_by("-deleted_at")[:MAX_CHANGES]
        if max(len(visible), len(gone)) == MAX_CHANGES and len(since) > 1:
            # What happens in one scope must not crowd out what happened in another.
            names = builtins.list(since)
            middle = len(names) // 2
            first, second = (
                self._changes({name: since[name] for name in half})
                for half in (names[:middle], names[middle:])
            )
            return Changes([*first.threads, *second.threads], [*first.gone, *second.gone])
        threads = [
            thread
            for thread in visible
            if thread.updated_at.timestamp() >= since[scopes[thread.scope_key]]
        ]
        runs = {
            run.thread_id: run
            for run in Run.objects.using(self._runner.store.alias)
            .filter(thread__in=[thread.pk for thread in threads], position=F("thread__fence"))
            .only("thread_id", "run_id", "status", "agent_id")
        }
        return Changes(
            [_state(thread, runs.get(thread.pk)) for thread in threads],
            [
                GoneThread(scopes[each.scope_key], each.thread_id, each.deleted_at.timestamp())
                for each in gone
            ],
        )


def is_owner(user: Any, scope: str) -> bool:
    """Whether a scope is that of one user, with whom its threads go."""
    return isinstance(user, get_user_model()) and scope == f"user:{user.pk}"


def _moment(seconds: float) -> datetime:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def _state(thread: Thread, run: Run | None) -> ThreadState:
    record = _record(thread)
    status = None if run is None else run.status
    if run is not None and not record.agent_id:
        record.agent_id = run.agent_id
    return ThreadState(
        scope=thread.scope,
        record=record,
        key=thread.key,
        position=thread.fence,
        run_id="" if run is None else run.run_id,
        is_running=bool(thread.holder) and status == Run.Status.RUNNING,
        has_failed=status in (Run.Status.FAILED, Run.Status.LOST),
    )


def _record(thread: Thread) -> ThreadRecord:
    last_run = thread.last_run_at or thread.updated_at
    return ThreadRecord(
        thread_id=thread.thread_id,
        agent_id=thread.agent_id,
        created=thread.created_at.timestamp(),
        updated=thread.updated_at.timestamp(),
        last_run=last_run.timestamp(),
        name=thread.name or None,
        archived=thread.archived,
    )
