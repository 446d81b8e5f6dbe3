"""One thread gets longer and longer."""

from __future__ import annotations

import statistics
import time

import pytest

from tests.chaos.conftest import LONG
from tests.chaos.streams import assert_proper, by_run

RUNS = 2000 if LONG else 400
PARTS = 8
CONNECTS = 5


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_long_thread(kind, make_store, servers, talk, figures):
    """Everything that was said is there, and a run costs what it cost when the thread was new."""
    store = make_store(kind)
    [server] = await servers.start("uvicorn", url=store.url, lease=15)
    start_ms, run_ms, connect_ms = [], [], []
    for part in range(PARTS):
        starts, ends = [], []
        for number in range(part * RUNS // PARTS, (part + 1) * RUNS // PARTS):
            seen = talk.run(server, "long", f"run-{number}", "text:5")
            await talk.end(seen)
            assert seen.code == "RUN_FINISHED"
            starts.append((seen.times[0] - seen.asked) * 1000)
            ends.append((seen.times[-1] - seen.asked) * 1000)
        start_ms.append(statistics.median(starts))
        run_ms.append(statistics.median(ends))
        took = []
        for _ in range(CONNECTS):
            begun = time.time()
            replay = talk.follow(server, "long")
            await talk.end(replay)
            took.append((time.time() - begun) * 1000)
        connect_ms.append(statistics.median(took))
    assert_proper(replay.events)
    assert list(by_run(replay.events)) == [f"run-{number}" for number in range(RUNS)]
    figures(
        runs=[RUNS * (part + 1) // PARTS for part in range(PARTS)],
        first_event_ms=start_ms,
        run_ms=run_ms,
        connect_ms=connect_ms,
        events=len(replay.events),
    )
