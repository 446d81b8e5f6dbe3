"""A process that gives the threads of a visitor to a user, and may stop in the middle of it.

    python -m tests.chaos.merge DATABASE_URL prepare|lock|half|all|merge

Prints a line when it has got as far as it was told, and then waits to be killed. `prepare` makes
the tables and the threads, `merge` moves them and ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import django

THREADS = 50
VISITOR, USER = "anon:v", "user:1"


async def prepare(runner: Any) -> None:
    from tests.acting import Parrot
    from tests.talk import collect
    from tests.unit.runners.requests import request_for

    for scope in (VISITOR, USER):
        # Some of the names are those of threads that the user has already.
        for number in range(THREADS if scope == VISITOR else 5):
            name = f"t{number}"
            request = request_for(Parrot(), f"{scope} {name}", scope=scope, thread=name, run=name)
            await collect(await runner.run(request))


def stop_at(point: str) -> None:
    """Have the process say so and wait where the rows are locked, half or all of them changed."""
    from copilotkit_django.runners.store import Store

    execute_many = Store.execute_many

    def stopping(self: Store, sql: str, rows: Any) -> None:
        if "scope_key" in sql:
            part = {"lock": 0, "half": len(rows) // 2, "all": len(rows)}[point]
            execute_many(self, sql, rows[:part])
            print(point, flush=True)
            time.sleep(600)
        execute_many(self, sql, rows)

    Store.execute_many = stopping  # type: ignore[method-assign]


async def main(url: str, task: str) -> None:
    os.environ.update(DJANGO_SETTINGS_MODULE="tests.bench.settings", BENCH_DATABASE=url)
    django.setup()
    from copilotkit_django.runners.database import DatabaseRunner
    from tests.databases import migrate

    if task == "prepare":
        await asyncio.to_thread(migrate)
    elif task != "merge":
        stop_at(task)
    runner = DatabaseRunner()
    if task == "prepare":
        await prepare(runner)
    else:
        moved = await runner.threads.move(VISITOR, USER)
        print(len(moved), flush=True)
    await runner.drain()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
