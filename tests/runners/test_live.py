"""The log of a live run, between its agent and the writer's thread."""

from __future__ import annotations

import asyncio

from copilotkit_django.runners import live
from copilotkit_django.runners.live import DurableLog
from tests.talk import within


class IdleWriter:
    def add(self, source, *, urgent=False):
        source.queued = True


def log_of_a_run():
    return DurableLog(
        IdleWriter(), key="k", thread=1, run=1, position=1, on_lost=lambda log, error: None
    )


async def test_ready__caught_up_in_between(monkeypatch):
    """An agent does not wait for a writer that has caught up while it was about to wait."""
    monkeypatch.setattr(live, "MAX_UNWRITTEN", 1)
    log = log_of_a_run()
    for _ in range(3):
        log.append(b"1")

    class Meanwhile(asyncio.Event):
        def clear(self):
            super().clear()
            log.written(3)

    log._advanced = Meanwhile()

    await within(log.ready())


async def test_ready__abandoned(monkeypatch):
    """Nor for one that will never write it."""
    monkeypatch.setattr(live, "MAX_UNWRITTEN", 1)
    log = log_of_a_run()
    for _ in range(3):
        log.append(b"1")
    waiting = asyncio.create_task(log.ready())
    await asyncio.sleep(0.01)
    assert not waiting.done()

    log.abandon()

    await within(waiting)
