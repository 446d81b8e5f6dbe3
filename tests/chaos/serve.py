"""The servers of the benchmarks, with what only these tests need.

Scripts for the agent: `lastword:N` says N words, waits for ever and says `cancelled` if it is;
`cuedtext` and `cuedstamp` wait for the test's cue, a file in CHAOS_CUES, before their first word,
`cuedhalf:N:MS` in the middle of N words. And a database that can be full: SQLite takes
CHAOS_MAX_PAGES pages at the most.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
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


async def cue(context: RunContext) -> None:
    """Wait for the word of the test."""
    file = Path(os.environ["CHAOS_CUES"], f"{context.thread_id}.cue")
    while not file.exists():  # noqa: ASYNC110, ASYNC240 - nothing tells of a file
        await asyncio.sleep(0.01)


def cued(script: scripted.Script) -> scripted.Script:
    """A script that waits for its cue before the first word."""

    async def waiting(context: RunContext, *arguments: float) -> AsyncIterator[scripted.Event]:
        async for event in script(context, *arguments):
            yield event
            if event["type"] == "TEXT_MESSAGE_START":
                await cue(context)

    return waiting


async def cuedhalf(
    context: RunContext, count: float = 0, ms: float = 0, *_: float
) -> AsyncIterator[scripted.Event]:
    words = 0
    async for event in scripted.slow(context, count, ms):
        yield event
        words += event["type"] == "TEXT_MESSAGE_CONTENT"
        if words == count // 2:
            await cue(context)


def limit_pages(connection: Any, **_: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA max_page_count={int(os.environ['CHAOS_MAX_PAGES'])}")


def main() -> None:
    scripted.SCRIPTS = {
        **scripted.SCRIPTS,
        "lastword": lastword,
        "cuedtext": cued(scripted.text),
        "cuedstamp": cued(scripted.stamp),
        "cuedhalf": cuedhalf,
    }
    if "CHAOS_MAX_PAGES" in os.environ:
        connection_created.connect(limit_pages)
    serve.main()


if __name__ == "__main__":
    main()
