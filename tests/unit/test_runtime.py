"""Endpoints that end together."""

from __future__ import annotations

from copilotkit_django.runners.memory import InMemoryRunner
from copilotkit_django.runtime import Runtime, drain


class Stubborn(InMemoryRunner):
    async def drain(self) -> None:
        raise RuntimeError("not now")


class Counting(InMemoryRunner):
    drained = 0

    async def drain(self) -> None:
        self.drained += 1


async def test_drain__one_that_fails(caplog):
    """A runner that cannot be drained keeps no other from it, and leaves a traceback in the log."""
    counting = Counting()
    runtimes = [
        Runtime(agents={}, runner=runner) for runner in (Stubborn(), counting, counting, Stubborn())
    ]

    await drain()

    assert counting.drained == 1
    assert [record.message for record in caplog.records] == ["A runner could not be drained."] * 2
    assert all("not now" in str(record.exc_info[1]) for record in caplog.records)
    del runtimes
