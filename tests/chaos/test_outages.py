"""What the servers lean on goes away in the middle of a run, and comes back."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from tests.chaos.streams import Seen, assert_proper, by_run, lateness_ms, quantile

#: Nobody can renew a lease while the store is away.
LEASE = 15.0


def longest_pause(seen: Seen) -> float:
    return max(after - before for before, after in zip(seen.times, seen.times[1:], strict=False))


async def goes_on(said: Seen) -> None:
    """Wait until more is said, or all of it was."""
    here = len(said.events)
    await said.until(lambda seen: len(seen.events) > here + 10 or seen.code == "RUN_FINISHED")


async def assert_kept(talk, server, thread: str, said: Seen) -> None:
    """History has all that was said."""
    replay = talk.follow(server, thread)
    await talk.end(replay)
    assert_proper(replay.events)
    assert by_run(replay.events).keys() == {"run"}
    assert replay.text == said.text


async def test_redis_restarted(make_store, servers, talk, redis, rounds, figures):
    """Without hints everything goes on, if later; with them back as before."""
    store = make_store("postgres")
    owner, other = await servers.start("uvicorn", "daphne", url=store.url, redis=redis.url)
    total = rounds(20)
    before, without, after, stops = [], [], [], []
    for number in range(total):
        thread = f"run-{number}"
        said = talk.run(owner, thread, "run", "stamp:300:20")
        await said.begun.wait()
        followed = talk.follow(other, thread)
        await followed.until(lambda seen: len(seen.events) > 50)
        killed = time.time()
        redis.kill()
        await asyncio.sleep(1.5)
        stopped = talk.run(owner, f"{thread}-stopped", "run", "lastword:3")
        await stopped.until(lambda seen: "tok2 " in seen.text)
        pressed = time.time()
        await talk.end(talk.stop(other, f"{thread}-stopped"), stopped)
        assert stopped.text.endswith("cancelled")
        stops.append(stopped.times[-1] - pressed)
        await goes_on(said)
        redis.start()
        back = time.time()
        await talk.end(said, followed)
        assert_proper(said.events)
        assert followed.events == said.events
        await assert_kept(talk, other, thread, said)
        late = lateness_ms(followed)
        times = [
            moment
            for moment, event in zip(followed.times, followed.events, strict=True)
            if event["type"] == "TEXT_MESSAGE_CONTENT"
        ]
        for moment, value in zip(times, late, strict=True):
            # Processes listen again within seconds.
            phase = before if moment < killed else without if moment < back + 2 else after
            phase.append(value)
    figures(
        rounds=total,
        late_ms_before=[quantile(before, q) for q in (0.5, 0.95)],
        late_ms_without=[quantile(without, q) for q in (0.5, 0.95)],
        late_ms_after=[quantile(after, q) for q in (0.5, 0.95)],
        stopped_without_s=max(stops),
    )


@pytest.mark.parametrize("query", ["", "pool"], ids=["plain", "pool"])
async def test_backends_terminated(query, make_store, servers, talk, rounds, figures):
    """Every connection to the database is cut, again and again: nobody notices."""
    store = make_store("postgres", query)
    owner, other = await servers.start("uvicorn", "daphne", url=store.url, lease=LEASE)
    total, cut, pauses = rounds(20), 0, []
    for number in range(total):
        thread = f"run-{number}"
        said = talk.run(owner, thread, "run", "stamp:500:5")
        await said.begun.wait()
        followed = talk.follow(other, thread)
        shorts = []
        for moment in range(4):
            await asyncio.sleep(random.uniform(0.1, 0.8))
            cut += store.terminate_backends()
            await goes_on(said)
            # Starts while connections die, in either process.
            server = (owner, other)[moment % 2]
            shorts.append(talk.run(server, f"{thread}-{moment}", "run", "text:20"))
        await talk.end(said, followed, *shorts)
        for seen in (said, *shorts):
            assert seen.status == 200, seen.answer
            assert_proper(seen.events)
            assert seen.code == "RUN_FINISHED"
        assert followed.events == said.events
        pauses.append(longest_pause(said))
        assert [len(store.raw_events(thread, "run"))] == [len(said.events)]
        await assert_kept(talk, other, thread, said)
        for moment, seen in enumerate(shorts):
            await assert_kept(talk, owner, f"{thread}-{moment}", seen)
    assert store.held_threads() == 0
    figures(rounds=total, connections_cut=cut, lost=0, longest_pause_s=max(pauses))


async def test_sqlite_locked(make_store, servers, talk, rounds, figures):
    """While somebody else writes streams go on; new runs wait, and are told to come back."""
    store = make_store("sqlite")
    owner, other = await servers.start("daphne", "uvicorn", url=store.url, lease=LEASE)
    total, pauses, refused, behind, unlocked = rounds(20, 3), [], [], [], []
    for number in range(total):
        thread = f"run-{number}"
        said = talk.run(owner, thread, "run", "stamp:700:10")
        await said.begun.wait()
        followed = talk.follow(other, thread)
        await followed.until(lambda seen: len(seen.events) > 20)
        blocker = store.open()
        blocker.execute("BEGIN IMMEDIATE")
        locked = time.time()
        early = talk.run(owner, f"{thread}-early", "run", "text:1")
        # Reading needs no lock.
        replay = talk.follow(other, f"run-{number - 1}")
        await talk.end(replay)
        await goes_on(said)
        await talk.end(early)
        refused.append(time.time() - locked)
        assert early.status == 503
        assert early.headers["retry-after"]
        assert early.answer["error"] == "store_unavailable"
        late = talk.run(other, f"{thread}-late", "run", "text:1")
        # Time to come and to wait; it is answered alike without.
        await asyncio.sleep(0.5)
        blocker.execute("COMMIT")
        blocker.close()
        unlocked.append(time.time() - locked)
        await talk.end(late)
        assert late.status == 200, late.answer
        assert_proper(late.events)
        await talk.end(said, followed)
        assert_proper(said.events)
        assert said.code == "RUN_FINISHED"
        pauses.append(longest_pause(said))
        behind.append(longest_pause(followed))
        assert followed.events == said.events
        assert len(store.raw_events(thread, "run")) == len(said.events)
        await assert_kept(talk, owner, thread, said)
        # The claim nobody waited for holds nothing.
        again = talk.run(other, f"{thread}-early", "again", "text:1")
        await talk.end(again)
        assert_proper(again.events)
    assert store.held_threads() == 0
    figures(
        rounds=total,
        locked_s=max(unlocked),
        lost=0,
        longest_pause_s=max(pauses),
        longest_pause_elsewhere_s=max(behind),
    )
