"""Connections that the database server closes."""

from __future__ import annotations

import contextlib

import pytest
from django.db import OperationalError

from tests.acting import Staged
from tests.talk import kinds, within

from .asking import follow, history, run, start
from .stores import SERVERS

pytestmark = pytest.mark.parametrize("store", SERVERS, indirect=True)


def cut_all(store):
    """Have the server close every connection to this database but the one that says so."""
    if store.vendor == "postgresql":
        store.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname=current_database() AND pid<>pg_backend_pid()",
            [],
        )
        return
    others = store.select(
        "SELECT id FROM information_schema.processlist WHERE db=database() AND id<>connection_id()",
        [],
    )
    for (other,) in list(others):
        # It may have gone by itself: the server is still parting from those of the test before.
        with contextlib.suppress(OperationalError):
            store.execute(f"KILL {other}", [])


async def test_run__connections_cut(runner, elsewhere):
    """Connections that the server has closed are replaced, in the middle of a run, too."""
    await run(runner, run="r1")
    agent = Staged()
    live = await start(runner, agent, run="r2")
    await within(agent.waiting.wait())
    follower = await follow(runner)

    await elsewhere.read(cut_all, elsewhere.store)
    agent.cue.set()

    assert kinds(await live)[-1] == kinds(await follower)[-1] == "RUN_FINISHED"
    for _ in range(4):
        assert len(await history(runner)) == len(await follower)
    await elsewhere.read(cut_all, elsewhere.store)
    assert kinds(await run(runner, run="r3"))[-1] == "RUN_FINISHED"
