"""``manage.py copilotkit_threads``: look at, export and delete the threads of one owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.core.management.base import BaseCommand, CommandError, CommandParser

from copilotkit_django.events.snapshot import messages
from copilotkit_django.events.wire import decode, encode
from copilotkit_django.management.runner import counted, database_runner, require_database
from copilotkit_django.management.terminal import printable, user_named
from copilotkit_django.models import Thread
from copilotkit_django.runners.base import ThreadRef
from copilotkit_django.runners.database import DatabaseRunner
from copilotkit_django.runners.export import export_thread

#: Threads looked up in one query.
PAGE = 500

#: Columns that are shown or exported.
COLUMNS = (
    "pk",
    "thread_id",
    "agent_id",
    "name",
    "archived",
    "created_at",
    "updated_at",
    "last_run_at",
)


class Command(BaseCommand):
    help = (
        "List, show, export or delete the threads of one user or scope, "
        "to answer a request about personal data, for one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        add = actions.add_parser("list", help="One line for each thread, the youngest first.")
        self._add_owner(add)
        add = actions.add_parser("show", help="The conversation on a thread.")
        add.add_argument("threads", metavar="THREAD_ID", nargs=1)
        self._add_owner(add)
        add = actions.add_parser(
            "export", help="One JSON object a line: threads, their runs, and the events of those."
        )
        add.add_argument("threads", metavar="THREAD_ID", nargs="*", help="Default: all of them.")
        self._add_owner(add)
        add = actions.add_parser("delete", help="Stop what runs on threads, and delete them.")
        add.add_argument("threads", metavar="THREAD_ID", nargs="*")
        add.add_argument("--all", action="store_true", help="All threads of the owner.")
        add.add_argument(
            "--dry-run", action="store_true", help="Only say how many would be deleted."
        )
        self._add_owner(add)

    def _add_owner(self, parser: CommandParser) -> None:
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--user", metavar="USERNAME", help="Threads of this user's own scope.")
        owner.add_argument(
            "--scope", help="Threads of this scope, such as team:7 where THREAD_SCOPE says so."
        )

    def handle(
        self,
        *args: Any,
        action: str,
        user: str | None,
        scope: str | None,
        threads: Sequence[str] = (),
        **options: Any,
    ) -> None:
        require_database()
        if user is not None:
            scope = f"user:{user_named(user).pk}"
        async_to_sync(self._act)(action, str(scope), threads, options)

    async def _act(
        self, action: str, scope: str, threads: Sequence[str], options: dict[str, Any]
    ) -> None:
        runner = database_runner()
        try:
            owned = _Owned(runner, scope)
            if action == "list":
                await self._list(owned)
            elif action == "show":
                await self._show(owned, threads[0])
            elif action == "export":
                await self._export(owned, threads)
            else:
                await self._delete(
                    owned, threads, everything=options["all"], dry_run=options["dry_run"]
                )
        finally:
            await runner.drain()

    async def _list(self, owned: _Owned) -> None:
        async for row in owned.rows():
            last = row["last_run_at"]
            moment = "never" if last is None else f"{last:%Y-%m-%d %H:%M}"
            columns = [row["thread_id"], row["agent_id"], moment, row["name"]]
            if row["archived"]:
                columns.append("(archived)")
            self.stdout.write(printable("  ".join(filter(None, columns))))

    async def _show(self, owned: _Owned, thread_id: str) -> None:
        await owned.require([thread_id])
        for message in messages(await owned.events(thread_id)):
            for line in _lines(message):
                self.stdout.write(printable(line, lines=True))

    async def _export(self, owned: _Owned, threads: Sequence[str]) -> None:
        await owned.require(threads)
        async for row in owned.rows(threads):
            thread = await owned.thread(row["pk"])
            lines = iter(()) if thread is None else export_thread(thread)
            # Not by the runner, which reads once more what has failed: a generator that has raised
            # is at its end, and so would be what is exported.
            step = sync_to_async(lambda lines=lines: next(lines, None))
            while (some := await step()) is not None:
                self.stdout.write(some.decode(), ending="")

    async def _delete(
        self, owned: _Owned, threads: Sequence[str], *, everything: bool, dry_run: bool
    ) -> None:
        if everything == bool(threads):
            raise CommandError("Name the threads to delete, or pass --all.")
        await owned.require(threads)
        count = len(set(threads)) if threads else await owned.count()
        if dry_run:
            self.stdout.write(f"{counted(count, 'thread')} would be deleted.")
            return
        if everything:
            await owned.runner.threads.clear(owned.scope)
        for thread_id in threads:
            await owned.runner.threads.delete(ThreadRef(owned.scope, thread_id))
        if count:
            self.stdout.write(self.style.SUCCESS(f"{counted(count, 'thread')} deleted."))


class _Owned:
    """The threads of one scope, those included on which no run has finished yet."""

    def __init__(self, runner: DatabaseRunner, scope: str) -> None:
        self.runner = runner
        self.scope = scope
        self._threads = Thread.objects.using(runner.store.alias).in_scope(scope)

    def _keys(self, threads: Sequence[str]) -> list[str]:
        return [ThreadRef(self.scope, thread_id).key for thread_id in threads]

    async def count(self) -> int:
        return await self.runner.read(self._threads.count)

    async def require(self, threads: Sequence[str]) -> None:
        """Raise `CommandError` if one of these does not exist."""
        for thread_id, key in zip(threads, self._keys(threads), strict=True):
            if not await self.runner.read(self._threads.filter(key=key).exists):
                raise CommandError(f"There is no thread {thread_id!r} in {self.scope!r}.")

    async def rows(self, threads: Sequence[str] = ()) -> Any:
        """These threads, or all of them, by age, the youngest first."""
        found = self._threads.order_by("-pk").values(*COLUMNS)
        if threads:
            found = found.filter(key__in=self._keys(threads))
        before: int | None = None
        while True:
            page = found if before is None else found.filter(pk__lt=before)
            rows = await self.runner.read(list, page[:PAGE])
            for row in rows:
                yield row
            if len(rows) < PAGE:
                return
            before = rows[-1]["pk"]

    async def thread(self, pk: int) -> Thread | None:
        """One of them, if it is still there."""
        found = self._threads.select_related("user").filter(pk=pk)
        return await self.runner.read(found.first)

    async def events(self, thread_id: str) -> list[dict[str, Any]]:
        reader = await self.runner.threads.events(ThreadRef(self.scope, thread_id))
        return [decode(event) async for batch in reader for event in batch]


def _lines(message: dict[str, Any]) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part.get("text") or f"[{part['type']}]" for part in content)
    elif isinstance(content, dict):
        content = encode(content).decode()
    if content:
        yield f"{message['role']}: {content}"
    for call in message.get("toolCalls", ()):
        yield f"{message['role']}: {call['name']}({call['args']})"
