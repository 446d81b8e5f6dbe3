"""MariaDB takes statements of a limited size, and hangs up on larger ones."""

from __future__ import annotations

import asyncio

import pytest
from django.db import DataError, Error

from copilotkit_django.runners.store import Store
from copilotkit_django.runners.writes import Done
from tests.acting import Staged, delta, ending, opening
from tests.talk import kinds, within

from .asking import everything, history, request_for, run, runs_in, start, thread
from .stores import MARIADB
from .test_store import do
from .writing import append, claim, finish

pytestmark = pytest.mark.parametrize("store", [MARIADB], indirect=True)


@pytest.fixture
def statements(store) -> Store:
    return Store(store)


class TestPackets:
    def test_append__larger_than_a_packet(self, statements):
        """What the server would hang up on is refused as what it is."""
        first = do(statements, claim())

        with pytest.raises(DataError, match="max_allowed_packet"):
            do(statements, append(first, 0, b"x" * 20_000_000))

        assert do(statements, append(first, 0, b"1")) == Done()

    def test_append__full_of_quotes(self, statements):
        """What grows on its way to the server counts as it arrives there."""
        first = do(statements, claim())

        with pytest.raises(DataError, match="max_allowed_packet"):
            do(statements, append(first, 0, b'"' * 10_000_000))
        with pytest.raises(Error, match="max_allowed_packet"):
            do(statements, finish(first, compacted=b'"' * 10_000_000))


async def test_run__more_than_the_database_takes(runner):
    """A run that says more in one event than the server takes fails alone, and for good."""

    async def talks_too_much(context):
        for event in opening(context):
            yield event
        yield delta(context, "x" * 20_000_000)
        for event in ending(context):
            yield event

    agent = Staged()
    other = await start(runner, agent, thread="other")
    await within(agent.waiting.wait())

    failed = await everything(await runner.run(request_for(talks_too_much)))
    agent.cue.set()

    assert b"STORE_UNAVAILABLE" in failed[-1]
    assert kinds(await other)[-1] == "RUN_FINISHED"
    async with asyncio.timeout(10):
        while await runner.is_running(thread()):  # noqa: ASYNC110 - its lease has to run out
            await asyncio.sleep(0.05)
    assert kinds(await run(runner, run="r2"))[-1] == "RUN_FINISHED"
    kept = await history(runner)
    assert runs_in(kept) == ["r1", "r2"]
    assert [kind for kind in kinds(kept) if kind.startswith("RUN_")][1] == "RUN_ERROR"
