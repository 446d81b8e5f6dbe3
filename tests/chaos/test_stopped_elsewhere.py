"""Stop is pressed on a page that another process serves than the one that runs the agent."""

from __future__ import annotations

import time

import pytest

from tests.chaos.streams import TERMINAL, assert_proper, quantile

#: Runs that are stopped at a time.
TOGETHER = 4


@pytest.mark.parametrize(
    ("kind", "hints"),
    [("sqlite", False), ("sqlite", True), ("postgres", False), ("postgres", True)],
    ids=["sqlite", "sqlite-redis", "postgres", "postgres-redis"],
)
async def test_stopped_elsewhere(kind, hints, make_store, servers, talk, request, rounds, figures):
    """Every agent is cancelled, says its last word, and the run has one end."""
    store = make_store(kind)
    redis = request.getfixturevalue("redis").url if hints else None
    owner, other = await servers.start("uvicorn", "daphne", url=store.url, redis=redis)
    # Wakes the other process up: it listens for hints, as one that serves pages does.
    await talk.end(talk.run(other, "first", "first", "text:1"))
    took, total = [], rounds(200, 20)
    for first in range(0, total, TOGETHER):
        threads = [f"stopped-{number}" for number in range(first, min(total, first + TOGETHER))]
        said = [talk.run(owner, thread, "run", "lastword:3") for thread in threads]
        for seen in said:
            await seen.until(lambda seen: "tok2 " in seen.text)
        pressed = time.time()
        stops = [talk.stop(other, thread) for thread in threads]
        await talk.end(*stops)
        assert [seen.answer["stopped"] for seen in stops] == [True] * len(threads)
        await talk.end(*said)
        for seen in said:
            assert_proper(seen.events)
            assert seen.text == "tok0 tok1 tok2 cancelled"
            assert [kind for kind in seen.types if kind in TERMINAL] == ["RUN_FINISHED"]
            took.append(seen.times[-1] - pressed)
        for thread in threads:
            assert store.runs(thread) == [("run", "stopped")]
    figures(
        stopped=total,
        seconds=[quantile(took, 0.5), quantile(took, 0.99), max(took)],
    )
