"""``manage.py copilotkit_prune``: delete what is older than it need be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from copilotkit_django.management.runner import counted, database_runner, load_options
from copilotkit_django.models import Thread


class Command(BaseCommand):
    help = "Delete threads nothing has happened on for a number of days, and old raw events."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days", type=int, help="Default: COPILOTKIT['RETENTION_DAYS']. 0 deletes all."
        )
        parser.add_argument(
            "--batch-size", type=int, default=100, help="Threads deleted in one transaction."
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Only say how many threads would be deleted."
        )

    def handle(
        self, *args: Any, days: int | None, batch_size: int, dry_run: bool, **options: Any
    ) -> None:
        settings = load_options()
        days = settings.retention_days if days is None else days
        if days is None:
            raise CommandError("Pass --days or set COPILOTKIT['RETENTION_DAYS'].")
        if days < 0 or batch_size < 1:
            raise CommandError("--days must not be negative, --batch-size at least 1.")
        before = timezone.now() - timedelta(days=days)
        deleted = async_to_sync(self._prune)(before, batch_size, dry_run=dry_run)
        if dry_run:
            self.stdout.write(f"{counted(deleted, 'thread')} would be deleted.")
        elif deleted:
            self.stdout.write(self.style.SUCCESS(f"{counted(deleted, 'thread')} deleted."))

    async def _prune(self, before: Any, batch_size: int, *, dry_run: bool) -> int:
        runner = database_runner()
        try:
            stale = Thread.objects.using(runner.store.alias).untouched_since(before)
            if dry_run:
                return int(await runner.read(stale.count))
            deleted = 0
            # Small batches: short transactions, and being interrupted loses nothing.
            while True:
                keys = await runner.read(
                    lambda: list(stale.values_list("key", flat=True)[:batch_size])
                )
                if not keys:
                    break
                deleted += await runner.write(
                    runner.store.delete_threads, keys, untouched_since=before
                )
            await runner.sweep()
            return deleted
        finally:
            await runner.drain()
