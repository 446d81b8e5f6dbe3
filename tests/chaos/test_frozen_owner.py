"""A process stands still for longer than its lease, and goes on as if nothing had happened.

On PostgreSQL. A process that is frozen inside of a transaction keeps what it has locked: there the
server ends the transaction; SQLite has nobody who could, so that nothing is written to it by
anybody until the process goes on or is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import pytest

from tests.chaos import official
from tests.chaos.servers import ChaosServer
from tests.chaos.stores import PATIENCE, Postgres
from tests.chaos.streams import (
    TERMINAL,
    assert_proper,
    by_run,
    free_at_last,
    loads,
    quantile,
    text_of,
)

#: What happens to the thread meanwhile: it is only given free, another run is over, one is live.
MEANWHILE = ("freed", "taken", "busy")

LEASE = 4.0


async def eventually(holds: Callable[[], bool]) -> None:
    """Ask until it holds."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)


async def freeze_in_transaction(owner: ChaosServer, store: Postgres) -> None:
    """Freeze a process that writes, within its transaction."""
    with contextlib.closing(store.open()) as blocker:
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE copilotkit_segment IN SHARE MODE")
        await eventually(lambda: store.waiting_to_insert() > 0)
        owner.freeze()
    # What it waited for is done now, but it is not there to go on.
    await eventually(lambda: store.idle_in_transaction() > 0)


@pytest.mark.parametrize("moment", ["anywhere", "in-transaction"])
async def test_frozen_owner(moment, make_store, servers, talk, rounds, figures):
    """The old owner writes nothing more and tells its caller; history holds one clean end."""
    store = make_store("postgres")
    owner, other = await servers.start("uvicorn", "daphne", url=store.url, lease=LEASE)
    took, held, total = [], 0, rounds(30, 6)
    for number in range(total):
        thread, meanwhile = f"frozen-{number}", MEANWHILE[number % 3]
        said = talk.run(owner, thread, "old", "stamp:100000:2")
        # A second run of that process, on a thread that somebody only reads.
        silent = talk.run(owner, f"silent-{number}", "old", "hang:3")
        await said.until(lambda seen: len(seen.events) > 10)
        await silent.until(lambda seen: "tok2" in seen.text)
        if moment == "in-transaction":
            await freeze_in_transaction(owner, store)
        else:
            owner.freeze()
        held += store.idle_in_transaction() > 0
        frozen = time.time()

        # Another process ends it for the reader it has, or for the next run.
        reader = talk.follow(other, f"silent-{number}")
        if meanwhile == "freed":
            following = talk.follow(other, thread)
            await talk.end(following)
            assert following.code == "INCOMPLETE_STREAM"
        else:
            script = "text:3" if meanwhile == "taken" else "slow:1000:50"
            following, _ = await free_at_last(talk, other, thread, "new", script)
        took.append(following.times[-1 if meanwhile == "freed" else 0] - frozen)
        await talk.end(reader)
        assert reader.code == "INCOMPLETE_STREAM"
        kept = store.raw_events(thread, "old")

        owner.thaw()

        await talk.end(said, silent)
        for seen in (said, silent):
            assert_proper(seen.events)
            assert seen.code in ("THREAD_TAKEN", "STORE_UNAVAILABLE")
        # It has had the time to write what it had left.
        busy = talk.run(owner, f"{thread}-other", "other", "text:1")
        await talk.end(busy)
        assert_proper(busy.events)
        assert store.raw_events(thread, "old") == kept

        if meanwhile == "busy":
            stop = talk.stop(owner, thread)
            await talk.end(stop, following)
            assert stop.answer["stopped"] is True
        later, _ = await free_at_last(talk, owner, thread, "later")
        await talk.end(later)
        assert_proper(later.events)
        replay = talk.follow(owner, thread)
        await talk.end(replay)
        assert_proper(replay.events)
        runs = by_run(replay.events)
        assert list(runs) == (["old", "later"] if meanwhile == "freed" else ["old", "new", "later"])
        ends = [event for event in runs["old"] if event["type"] in TERMINAL]
        assert [event["code"] for event in ends] == ["INCOMPLETE_STREAM"]
        assert text_of(runs["old"]) == text_of(loads(kept))
        assert store.raw_events(thread, "old") == kept
    views = await official.views(other, thread)
    assert store.held_threads() == 0
    figures(
        rounds=total,
        held_locks=held,
        taken_after_s=[quantile(took, 0.5), max(took)],
        official_clients=bool(views),
    )
