"""A thousand runs at once, and then a thousand more."""

from __future__ import annotations

import asyncio
import os
from itertools import pairwise
from pathlib import Path

import pytest

from copilotkit_django.runners.reader_threads import READERS
from copilotkit_django.workers import WORKERS
from tests.chaos.conftest import LONG
from tests.chaos.servers import ChaosServer
from tests.chaos.stores import Sqlite, Store
from tests.chaos.streams import assert_proper, quantile, tokens

SIZE = 1000 if LONG else 300
POOL = 10
#: What the memory of a process may grow by, in percent, once it has seen as many runs.
GROWTH = 5


def connections(store: Store, server: ChaosServer) -> int:
    if not isinstance(store, Sqlite):
        return store.connections()
    found = 0
    for entry in Path(f"/proc/{server.pid}/fd").iterdir():
        try:
            found += os.readlink(entry) == str(store.path)
        except FileNotFoundError:
            continue
    return found


@pytest.mark.parametrize(
    ("kind", "query", "most"),
    [
        # One connection writes, some read; the threads of requests may keep theirs.
        ("sqlite", "", 1 + READERS + WORKERS),
        ("postgres", "", 1 + READERS + WORKERS),
        ("postgres", "pool", POOL),
    ],
    ids=["sqlite", "postgres", "postgres-pool"],
)
async def test_thousands(kind, query, most, make_store, servers, talk, figures):
    """All runs complete, over a few connections, and leave no memory behind."""
    store = make_store(kind, query)
    [server] = await servers.start("uvicorn", url=store.url, lease=15)
    memory, held, first = [], [], []

    async def crowd(name: str) -> None:
        said = []
        for number in range(SIZE):
            said.append(talk.run(server, f"{name}-{number}", "run", "slow:10:300"))
            if number % 50 == 49:
                await asyncio.sleep(0.1)
        for seen in said:
            await seen.begun.wait()
        held.append(connections(store, server))
        await talk.end(*said)
        for seen in said:
            assert seen.status == 200, seen.answer
            assert_proper(seen.events)
            assert seen.text == tokens(10)
        first.extend(seen.times[0] - seen.asked for seen in said)

    # The first one brings what any process has once it is warm.
    # What leaks does so each time, what the allocator keeps once does not.
    for name in ("warm", "first", "second", "third"):
        await crowd(name)
        await asyncio.sleep(1)
        memory.append(server.rss_mb())
    growth = (min(later / earlier for earlier, later in pairwise(memory[1:])) - 1) * 100
    figures(
        runs=[SIZE] * 4,
        connections=held,
        most=most,
        rss_mb=memory,
        growth_percent=growth,
        first_event_s=[quantile(first, 0.5), quantile(first, 0.99)],
    )
    assert max(held) <= most
    assert growth < GROWTH
    assert store.held_threads() == 0
