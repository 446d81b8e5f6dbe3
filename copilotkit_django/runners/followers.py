"""Following runs of other processes: one tail per run, filled from the database."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from copilotkit_django.background import spawn
from copilotkit_django.exceptions import StoreDown
from copilotkit_django.models import Run
from copilotkit_django.runners.log import ENDING, RAW, Batch, RunLog
from copilotkit_django.runners.reads import FollowedRun
from copilotkit_django.runners.recovery import taken_endings

if TYPE_CHECKING:
    from copilotkit_django.runners.database import DatabaseRunner

logger = logging.getLogger("copilotkit.followers")

#: New events are looked for so often without any hint.
POLL_SECONDS = 0.25

#: SQLite tells cheaply whether anything has changed at all.
GLANCE_SECONDS = 0.01


#: What is known of the followed runs, and their rows of raw events: ``(run, first, last, data)``.
_News = tuple[list[FollowedRun], list[tuple[int, int, int, bytes]]]


class _Tail:
    """The events of one run as far as they are known here, shared by its readers."""

    def __init__(self, position: int) -> None:
        self.log = RunLog(f"{position}.{RAW}")
        #: What ended the run for a process that was gone. It follows the last event that was
        #: stored, while some readers may have had later ones from that process itself.
        self.endings = Batch(prefix=f"{position}.{ENDING}")
        self.readers = 0

    def take(self, first: int, events: list[bytes], kept_count: int | None) -> None:
        """Add a row of raw events, some of which may be known already."""
        kept = len(events) if kept_count is None else max(0, kept_count - first)
        known = len(self.log.events)
        if first <= known:
            for event in events[known - first : kept]:
                self.log.append(event)
        if not self.endings:
            self.endings.extend(events[kept:])


class _Loop:
    """The tails of one event loop, and what keeps them filled."""

    def __init__(self) -> None:
        self.tails: dict[int, _Tail] = {}
        self.wake = asyncio.Event()
        self.filling: asyncio.Task[None] | None = None


class Followers:
    """Readers of runs that live elsewhere.

    One query per tick serves all tails of a loop, however many readers they have. Hints make
    the next tick come sooner; without any, polling is the floor.
    """

    def __init__(self, runner: DatabaseRunner) -> None:
        self._runner = runner
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        #: The last data version seen, per reader thread: each has a connection of its own.
        self._versions = threading.local()

    async def follow(
        self, run: int, position: int, *, after: int = 0, idle: float | None
    ) -> AsyncIterator[Batch]:
        """Yield the raw events of a run from a number to the last, as they are written."""
        loop = asyncio.get_running_loop()
        for gone in [other for other in self._loops if other.is_closed()]:
            del self._loops[gone]
        here = self._loops.setdefault(loop, _Loop())
        tail = here.tails.setdefault(run, _Tail(position))
        tail.readers += 1
        if here.filling is None or here.filling.done():
            here.filling = spawn(self._fill(here))
        here.wake.set()
        try:
            async for batch in tail.log.read(after, idle=idle):
                yield batch
            if tail.endings:
                yield tail.endings
        finally:
            tail.readers -= 1
            if not tail.readers and here.tails.get(run) is tail:
                del here.tails[run]
                # Whoever fills the tails ends with the last of them.
                here.wake.set()

    def wake(self, runs: list[int]) -> None:
        """There is news of some runs. Belongs to the loop that follows them."""
        here = self._loops.get(asyncio.get_running_loop())
        if here is not None and any(run in here.tails for run in runs):
            here.wake.set()

    async def _fill(self, here: _Loop) -> None:
        loop = asyncio.get_running_loop()
        next_poll = loop.time()
        is_sqlite = self._runner.store.vendor == "sqlite"
        while here.tails:
            must = here.wake.is_set() or loop.time() >= next_poll
            here.wake.clear()
            try:
                if await self._tick(here, must=must):
                    next_poll = loop.time() + POLL_SECONDS
            except StoreDown:
                next_poll = loop.time() + POLL_SECONDS
            except Exception:
                logger.exception("Following runs of other processes failed; it is tried again.")
                next_poll = loop.time() + POLL_SECONDS
            if not here.tails:
                return
            pause = GLANCE_SECONDS if is_sqlite else next_poll - loop.time()
            try:
                async with asyncio.timeout(max(0.0, pause)):
                    await here.wake.wait()
            except TimeoutError:
                pass

    async def _tick(self, here: _Loop, *, must: bool) -> bool:
        """Bring all tails up to date; false if there was nothing to look at."""
        places = [(run, len(tail.log.events)) for run, tail in here.tails.items()]
        found = await self._runner.read(self._news, places, must=must)
        if found is None:
            return False
        states, segments = found
        known = {state.pk: state for state in states}
        for run, first, _, data in segments:
            tail = here.tails.get(run)
            if tail is not None and run in known:
                tail.take(first, data.split(b"\n"), known[run].kept_count)
        for run, _ in places:
            state = known.get(run)
            if state is None or state.status != Run.Status.RUNNING:
                tail = here.tails.pop(run, None)
                if tail is not None:
                    if state is None or state.status == Run.Status.SUPERSEDED:
                        # Nobody stores an end of such a run.
                        tail.endings.extend(taken_endings(tail.log.events))
                    tail.log.close()
            elif state.is_expired:
                await self._runner.reap(state.key)
                here.wake.set()
        return True

    def _news(self, places: list[tuple[int, int]], *, must: bool) -> _News | None:
        """States and raw events of runs from a number on; ``None`` if nothing has changed."""
        store = self._runner.store
        version = store.data_version()
        seen = getattr(self._versions, "seen", None)
        if not must and version is not None and version == seen:
            return None
        self._versions.seen = version
        # States first: a run seen ended here has all its events in the rows read next.
        states = store.followed([run for run, _ in places])
        return states, store.segments(places)
