"""One POST arrives twice: a proxy or a client that was not sure sends it again."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.streams import assert_proper, by_run, tokens

#: Seconds between the two, and what the agent does meanwhile.
PAUSES = {"together": (0.0, "slow:20:20"), "soon": (0.5, "slow:20:50"), "after": (None, "text:20")}


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
@pytest.mark.parametrize("pause", PAUSES)
async def test_sent_twice(pause, kind, make_store, servers, talk, rounds, figures):
    """There is one run, and both callers get all of it, whichever process they reached."""
    store = make_store(kind)
    together = await servers.start("uvicorn", "daphne", url=store.url)
    seconds, script = PAUSES[pause]
    total = rounds(50)
    for number in range(total):
        thread = f"twice-{number}"
        # Every other time the second one reaches another process.
        first, second = together[0], together[number % 2]
        said = talk.run(first, thread, "run", script)
        if seconds is None:
            await talk.end(said)
        elif seconds:
            await said.begun.wait()
            await asyncio.sleep(seconds)
        again = talk.run(second, thread, "run", script)
        await talk.end(said, again)
        for seen in (said, again):
            assert_proper(seen.events)
            assert seen.text == tokens(20)
        if seconds is not None:
            assert again.events == said.events
        assert store.runs(thread) == [("run", "finished")]
        replay = talk.follow(second, thread)
        await talk.end(replay)
        assert list(by_run(replay.events)) == ["run"]
        assert replay.text == tokens(20)
    figures(rounds=total, runs=total, callers=2 * total)
