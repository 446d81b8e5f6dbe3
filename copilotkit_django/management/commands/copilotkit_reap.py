"""``manage.py copilotkit_reap``: end runs whose process is gone."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandParser

from copilotkit_django.management.runner import counted, database_runner


class Command(BaseCommand):
    help = "End the runs of processes that are gone, so that their threads are free again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="Only say how many runs would be ended."
        )

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        async def reap() -> int:
            runner = database_runner()
            try:
                if dry_run:
                    return len(await runner.read(runner.store.expired, 1_000_000))
                return await runner.reap_all()
            finally:
                await runner.drain()

        count = async_to_sync(reap)()
        if dry_run:
            self.stdout.write(f"{counted(count, 'run')} would be ended.")
        elif count:
            self.stdout.write(self.style.SUCCESS(f"{counted(count, 'run')} ended."))
