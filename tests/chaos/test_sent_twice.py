"""One POST arrives twice: a proxy or a client that was not sure sends it again."""

from __future__ import annotations

import pytest

from tests.chaos.streams import assert_proper, by_run, tokens

#: When the second one comes, and what the agent does. In its middle it waits until both are there.
PAUSES = {"together": "cuedhalf:20:20", "soon": "cuedhalf:20:20", "after": "text:20"}


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
@pytest.mark.parametrize("pause", PAUSES)
async def test_sent_twice(pause, kind, make_store, servers, talk, rounds, figures):
    """There is one run, and both callers get all of it, whichever process they reached."""
    store = make_store(kind)
    together = await servers.start("uvicorn", "daphne", url=store.url)
    script = PAUSES[pause]
    total = rounds(50)
    for number in range(total):
        thread = f"twice-{number}"
        # Every other time the second one reaches another process.
        first, second = together[0], together[number % 2]
        said = talk.run(first, thread, "run", script)
        if pause == "after":
            await talk.end(said)
        elif pause == "soon":
            await said.until(lambda seen: seen.text == tokens(10))
        again = talk.run(second, thread, "run", script)
        for seen in (said, again):
            await seen.begun.wait()
        servers.cue(thread)
        await talk.end(said, again)
        for seen in (said, again):
            assert_proper(seen.events)
            assert seen.text == tokens(20)
        if pause != "after":
            assert again.events == said.events
        assert store.runs(thread) == [("run", "finished")]
        replay = talk.follow(second, thread)
        await talk.end(replay)
        assert list(by_run(replay.events)) == ["run"]
        assert replay.text == tokens(20)
    figures(rounds=total, runs=total, callers=2 * total)
