"""The database is full, or takes no writes, while agents are streaming."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.chaos.stores import PATIENCE, Postgres, Sqlite, Store
from tests.chaos.streams import assert_proper, by_run, free_at_last, text_of

RUNS = 5
LEASE = 15.0
#: Pages of a database that is full.
PAGES = 1000
#: Does not fit into what is left of any page.
LONG_MESSAGE = "x" * 50_000


class Trouble:
    """A store that refuses to write, and takes writes again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self) -> None:
        if isinstance(self._store, Postgres):
            self._store.set_read_only(True)
            return
        assert isinstance(self._store, Sqlite)
        filler = self._store.open()
        filler.execute("CREATE TABLE filler (data BLOB)")
        while filler.execute("PRAGMA page_count").fetchone()[0] < PAGES + 10:
            filler.execute("INSERT INTO filler VALUES (zeroblob(65536))")
        filler.close()

    def end(self) -> None:
        if isinstance(self._store, Postgres):
            self._store.set_read_only(False)
            return
        filler = self._store.open()
        filler.execute("DROP TABLE filler")
        filler.close()


async def until_stored(store: Store, thread: str) -> None:
    """Wait until some of what is said on a thread is stored."""
    async with asyncio.timeout(PATIENCE):
        while len(await asyncio.to_thread(store.raw_events, thread, "run")) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_store_refuses(kind, make_store, servers, talk, rounds, figures):
    """Readers are told, the process lives, new runs get a 503, and later all is well again."""
    store = make_store(kind)
    limit = {"CHAOS_MAX_PAGES": str(PAGES)} if kind == "sqlite" else {}
    [server] = await servers.start("uvicorn", url=store.url, lease=LEASE, **limit)
    total, told, refused, freed = rounds(5, 1), [], [], []
    before = talk.run(server, "before", "run", "text:20")
    await talk.end(before)
    for number in range(total):
        trouble = Trouble(store)
        threads = [f"run-{number}-{n}" for n in range(RUNS)]
        said = [talk.run(server, thread, "run", "stamp:6000:10") for thread in threads]
        for thread, seen in zip(threads, said, strict=True):
            await seen.until(lambda seen: len(seen.events) > 20)
            await until_stored(store, thread)
        await asyncio.to_thread(trouble.begin)
        began = time.time()

        new = talk.run(server, f"new-{number}", "run", "text:1", message=LONG_MESSAGE)
        await talk.end(new)
        refused.append(time.time() - began)
        assert new.status == 503, new.events
        assert new.headers["retry-after"]
        assert new.answer["error"] == "store_unavailable"
        # What is stored can be read all the same.
        replay = talk.follow(server, "before")
        await talk.end(replay)
        assert replay.text == before.text

        await talk.end(*said)
        for seen in said:
            assert_proper(seen.events)
            assert seen.code == "STORE_UNAVAILABLE"
            told.append(seen.times[-1] - began)
        assert server.is_running

        await asyncio.to_thread(trouble.end)
        ended = time.time()
        new = talk.run(server, f"new-{number}", "again", "text:1", message=LONG_MESSAGE)
        await talk.end(new)
        assert new.status == 200, new.answer
        assert_proper(new.events)
        for thread, seen in zip(threads, said, strict=True):
            following, _ = await free_at_last(talk, server, thread, "next")
            await talk.end(following)
            freed.append(following.times[0] - ended)
            replay = talk.follow(server, thread)
            await talk.end(replay)
            assert_proper(replay.events)
            runs = by_run(replay.events)
            assert list(runs) == ["run", "next"]
            kept = text_of(runs["run"])
            assert kept
            assert seen.text.startswith(kept)
            assert runs["run"][-1]["code"] == "INCOMPLETE_STREAM"
    assert store.held_threads() == 0
    figures(
        rounds=total,
        runs=total * RUNS,
        readers_told_after_s=max(told),
        new_runs_refused_after_s=max(refused),
        threads_free_after_s=max(freed),
    )
