"""A run is started in one process and followed live in the others."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.streams import assert_proper, lateness_ms, quantile, tokens

EVENTS = 5000

#: Store, whether there is a Redis, and the servers: the first one runs the agent.
SITES = {
    "sqlite": ("sqlite", False, ("daphne", "daphne")),
    "postgres": ("postgres", True, ("uvicorn", "uvicorn", "daphne")),
    "postgres-polling": ("postgres", False, ("uvicorn", "daphne")),
    "mariadb": ("mariadb", False, ("daphne", "uvicorn")),
}


@pytest.mark.parametrize("site", SITES)
async def test_followed_elsewhere(site, make_store, servers, talk, request, rounds, figures):
    """Nobody misses an event, gets one twice or in another order, however fast they come."""
    kind, hints, names = SITES[site]
    store = make_store(kind)
    redis = request.getfixturevalue("redis").url if hints else None
    owner, *others = await servers.start(*names, url=store.url, redis=redis)
    durations = []
    total = rounds(20)
    for number in range(total):
        thread = f"fast-{number}"
        said = talk.run(owner, thread, "fast", f"cuedtext:{EVENTS}")
        await said.begun.wait()
        followed = [talk.follow(server, thread) for server in (owner, *others, *others)]
        await asyncio.gather(*(seen.begun.wait() for seen in followed))
        assert not said.text
        servers.cue(thread)
        await talk.end(said, *followed)
        assert_proper(said.events)
        assert said.text == tokens(EVENTS)
        for seen in followed:
            assert seen.events == said.events
        durations.append(max(seen.times[-1] for seen in followed) - said.times[2])

    paced = talk.run(owner, "paced", "paced", f"cuedstamp:{EVENTS // 20}:20")
    await paced.begun.wait()
    followed = [talk.follow(server, "paced") for server in (owner, *others, *others)]
    await asyncio.gather(*(seen.begun.wait() for seen in followed))
    servers.cue("paced")
    await talk.end(paced, *followed)
    assert_proper(paced.events)
    for seen in followed:
        assert seen.events == paced.events
    same, elsewhere = lateness_ms(followed[0])[50:], []
    for seen in followed[1:]:
        elsewhere += lateness_ms(seen)[50:]
    figures(
        rounds=total,
        events=EVENTS,
        lost=0,
        doubled=0,
        until_last_had_all_s=quantile(durations, 0.5),
        late_ms_same_process=[quantile(same, q) for q in (0.5, 0.95, 0.99)],
        late_ms_elsewhere=[quantile(elsewhere, q) for q in (0.5, 0.95, 0.99)],
    )
