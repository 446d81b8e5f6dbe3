"""The servers of the benchmarks, with what only these tests need.

Scripts for the agent: `lastword:N` says N words, waits for ever and says `cancelled` if it is;
`pent:N:MS` starts, says nothing for MS milliseconds and then N words at once. And a database that
can be full: SQLite takes CHAOS_MAX_PAGES pages at the most.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from django.db.backends.signals import connection_created

from copilotkit_django.agents.base import RunContext
from tests.bench import serve
from tests.conformance import scripted


async def lastword(
    context: RunContext, count: float = 0, *_: float
) -> AsyncIterator[scripted.Event]:
    async for event in scripted.half_a_text(context, count):
        yield event
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        yield scripted.delta(scripted.message_id(context), "cancelled")
        raise


async def pent(
    context: RunContext, count: float = 0, ms: float = 0, *_: float
) -> AsyncIterator[scripted.Event]:
    async for event in scripted.text(context, count):
        yield event
        if event["type"] == "TEXT_MESSAGE_START":
            await asyncio.sleep(ms / 1000)


def limit_pages(connection: Any, **_: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA max_page_count={int(os.environ['CHAOS_MAX_PAGES'])}")


def main() -> None:
    scripted.SCRIPTS = {**scripted.SCRIPTS, "lastword": lastword, "pent": pent}
    if "CHAOS_MAX_PAGES" in os.environ:
        connection_created.connect(limit_pages)
    serve.main()


if __name__ == "__main__":
    main()
