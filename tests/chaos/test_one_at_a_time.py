"""Everybody posts to one idle thread at once."""

from __future__ import annotations

import pytest

from tests.chaos.streams import assert_proper, by_run

POSTS = 200


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
async def test_one_at_a_time(kind, make_store, servers, talk, rounds, figures):
    """Of runs with ids of their own exactly one holds the thread, the others are told so."""
    store = make_store(kind)
    together = await servers.start("uvicorn", "daphne", "uvicorn", url=store.url)
    total = rounds(20)
    burst, winners = [], set()
    for number in range(total):
        thread = f"wanted-{number}"
        # Each as long as it takes until all of them have their answer.
        posts = [
            talk.run(together[n % len(together)], thread, f"run-{n}", "slow:1:60000")
            for n in range(POSTS)
        ]
        for seen in posts:
            await seen.begun.wait()
        running = [n for n, seen in enumerate(posts) if not seen.is_busy]
        assert len(running) == 1, [posts[n].events for n in running]
        [winner] = running
        winners.add(winner % len(together))
        refused = [seen for n, seen in enumerate(posts) if n != winner]
        await talk.end(*refused)
        assert all(seen.is_busy and seen.status == 200 for seen in refused)
        assert store.runs(thread) == [(f"run-{winner}", "running")]
        burst.append(max(seen.times[0] for seen in posts) - min(seen.times[0] for seen in posts))
        await talk.end(talk.stop(together[0], thread), posts[winner])
        assert_proper(posts[winner].events)

        after = talk.run(together[1], thread, "after", "text:1")
        await talk.end(after)
        assert_proper(after.events)
        replay = talk.follow(together[2], thread)
        await talk.end(replay)
        assert_proper(replay.events)
        assert list(by_run(replay.events)) == [f"run-{winner}", "after"]
    assert store.held_threads() == 0
    figures(rounds=total, posts=POSTS, run=total, busy=total * (POSTS - 1), burst_s=max(burst))
