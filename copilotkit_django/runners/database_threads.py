"""The ``/threads`` routes on the persistent runner."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import Q, Value
from django.db.models.functions import Collate
from django.utils import timezone

from copilotkit_django.models import Thread
from copilotkit_django.runners.base import ThreadRef
from copilotkit_django.runners.history import lowered
from copilotkit_django.runners.log import Batch
from copilotkit_django.runners.reading import Replay
from copilotkit_django.runners.threads import ThreadQuery, ThreadRecord, ThreadStore

if TYPE_CHECKING:
    from copilotkit_django.runners.database import DatabaseRunner

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
            moment = datetime.fromtimestamp(last_run, UTC)
            if not settings.USE_TZ:
                moment = timezone.make_naive(moment)
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

        return await self._runner.write(change)

    async def delete(self, thread: ThreadRef) -> bool:
        key = thread.key
        self._runner.forget(key)
        return await self._runner.write(self._runner.store.delete_threads, [key]) > 0

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
                self._runner.forget(key)
            await self._runner.write(self._runner.store.delete_threads, keys)


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
