"""`kill -9` of the process that runs an agent, in the middle of what it says."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from tests.chaos import official
from tests.chaos.streams import assert_proper, by_run, free_at_last, loads, quantile, text_of

LEASE = 4.0


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
async def test_killed_worker(kind, make_store, servers, talk, rounds, figures):
    """No thread is wedged, and everything that was flushed is replayed, closed and in order."""
    store = make_store(kind)
    [survivor] = await servers.start("uvicorn", url=store.url, lease=LEASE)
    freed, lost_ms, lost_deltas, claimed = [], [], [], 0
    total = rounds(100)
    for number in range(total):
        name = ("daphne", "uvicorn")[number % 2]
        [victim] = await servers.start(name, url=store.url, lease=LEASE)
        stream, tool, young = (f"{part}-{number}" for part in ("stream", "tool", "young"))
        said = talk.run(victim, stream, "lost", "stamp:100000:2")
        called = talk.run(victim, tool, "lost", "hangtool")
        await said.until(lambda seen: len(seen.events) > 3)
        await called.until(lambda seen: len(seen.events) > 2)
        followed = talk.follow(survivor, stream)
        # What is told there is stored.
        await followed.until(lambda seen: seen.text)
        await asyncio.sleep(random.uniform(0.05, 0.6))
        begun = talk.run(victim, young, "lost", "stamp:100000:2")
        await asyncio.sleep(random.uniform(0, 0.02))

        victim.kill()

        killed = time.time()
        kept = {thread: store.raw_events(thread, "lost") for thread in (stream, tool, young)}
        known = {thread: bool(store.runs(thread)) for thread in (stream, tool, young)}
        claimed += known[young]
        await talk.end(said, called, begun)
        assert said.is_cut

        for thread in (stream, tool, young):
            following, _ = await free_at_last(talk, survivor, thread, "next")
            freed.append(following.times[0] - killed)
            await talk.end(following)
            assert_proper(following.events)
            assert following.text == "tok0 tok1 tok2 "

        # The follower in the other process was told the end, and had all there was.
        await talk.end(followed)
        assert_proper(followed.events)
        assert followed.code == "INCOMPLETE_STREAM"
        assert followed.events[: len(kept[stream])] == loads(kept[stream])

        for thread, caller in ((stream, said), (tool, called), (young, begun)):
            replay = talk.follow(survivor, thread)
            await talk.end(replay)
            assert_proper(replay.events)
            runs = by_run(replay.events)
            assert list(runs) == (["lost", "next"] if known[thread] else ["next"])
            if not known[thread]:
                continue
            lost = runs["lost"]
            stored = loads(kept[thread])
            assert text_of(lost) == text_of(stored)
            assert {e["type"] for e in stored} <= {e["type"] for e in lost}
            assert lost[-1]["code"] == "INCOMPLETE_STREAM"
            [question] = lost[0]["input"]["messages"]
            assert question["id"] == "lost-question"
            had, has = caller.text.split(), text_of(stored).split()
            assert had[: len(has)] == has[: len(had)]
            lost_deltas.append(max(0, len(had) - len(has)))
            if lost_deltas[-1]:
                lost_ms.append(float(had[-1]) - float(has[-1] if has else had[0]))
        views = await official.views(survivor, stream)
        official.assert_shown(views, stream, text_of(loads(kept[stream])), "tok0 tok1 tok2 ")
    assert store.held_threads() == 0
    figures(
        rounds=total,
        wedged=0,
        next_run_after_s=[quantile(freed, 0.5), max(freed)],
        lost_deltas=[quantile(lost_deltas, 0.5), max(lost_deltas)],
        lost_ms=[quantile(lost_ms, 0.5), max(lost_ms, default=0.0)],
        killed_while_claiming=claimed,
        official_clients=bool(views),
    )
