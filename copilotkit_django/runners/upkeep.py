"""What the persistent runner does unasked: look after live runs, end dead ones, tidy up."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from copilotkit_django.background import spawn
from copilotkit_django.exceptions import StoreDown
from copilotkit_django.models import Thread
from copilotkit_django.runners.base import ThreadRef
from copilotkit_django.runners.leases import STORE_MESSAGE, log_of

if TYPE_CHECKING:
    from copilotkit_django.runners.database import DatabaseRunner

logger = logging.getLogger("copilotkit.run")

#: Live runs are looked after (stop flags, lost leases, outages) so often.
WATCH_SECONDS = 0.25

#: Dead runs are looked for, and old raw events dropped, so often.
SWEEP_SECONDS = 15.0

#: The raw events of an ended run are kept for so long even where nobody may resume.
SETTLE_SECONDS = 5.0

#: Which threads were deleted is known for so long to lists that were cut off, and old ones are
#: forgotten so often.
DELETED_SECONDS = 7 * 24 * 3600.0
FORGET_SECONDS = 3600.0

#: Runs are looked for that ended so long before those looked for last: clocks may differ.
CLOCKS_APART = timedelta(minutes=5)

#: And all of them so often, for what was left behind all the same.
FULL_LOOK_SECONDS = 3600.0


class Upkeep:
    """The chores of one runner, on the loop they were last started on."""

    def __init__(self, runner: DatabaseRunner) -> None:
        self._runner = runner
        self._task: asyncio.Task[None] | None = None
        #: Raw events of runs that ended before are dropped, by this process or another.
        self._dropped_upto: datetime | None = None
        self._next_full_look = 0.0
        self._next_forget = 0.0

    def start(self) -> None:
        """Begin with the chores on this loop, if they are not under way."""
        if self._task is None or self._task.done():
            self._task = spawn(self._do_chores())

    def cancel(self) -> None:
        """Do them no more. What is under way is broken off."""
        if self._task is not None:
            self._task.cancel()

    async def _do_chores(self) -> None:
        loop = asyncio.get_running_loop()
        next_sweep = loop.time()
        while True:
            try:
                # A database that hangs must not keep runs from being given up.
                async with asyncio.timeout(self._runner.outage_seconds):
                    if loop.time() >= next_sweep:
                        next_sweep = loop.time() + min(SWEEP_SECONDS, self._runner.lease_seconds)
                        await self.sweep()
                    if self._runner.leases.live:
                        await self._watch()
            except (StoreDown, TimeoutError):
                pass
            except Exception:
                logger.exception("Looking after the live runs failed; it is tried again.")
            await asyncio.sleep(WATCH_SECONDS)

    async def _watch(self) -> None:
        leases = self._runner.leases
        for task in list(leases.live.values()):
            log = log_of(task)
            if not log.abandoned and log.behind_for() > self._runner.outage_seconds:
                logger.error("A run is ended: its events could not be stored.")
                leases.give_up(log)
                task.cancel(STORE_MESSAGE, "STORE_UNAVAILABLE")
        tasks = {log_of(task).thread: task for task in leases.live.values()}
        if not tasks:
            return
        found = await self._runner.read(self._runner.store.watch, list(tasks))
        for thread in tasks.keys() - {row[0] for row in found}:
            leases.lose(log_of(tasks[thread]))
        for thread, key, holder, fence, stop_position in found:
            task = tasks[thread]
            log = log_of(task)
            # A run that is over gives its thread back itself.
            if fence != log.position or (holder != leases.holder and not task.over):
                leases.lose(log)
                continue
            if stop_position == log.position:
                task.stop()
            if key != log.key:
                await self._follow_move(thread)

    async def _follow_move(self, thread: int) -> None:
        """A thread has changed hands in another process."""
        threads = Thread.objects.using(self._runner.store.alias).select_related("user")
        found = await self._runner.read(lambda: threads.filter(pk=thread).first())
        if found is not None:
            to = ThreadRef(found.scope, found.thread_id)
            self._runner.leases.move(thread, to, found.user)

    async def _drop_segments(self) -> None:
        """Drop raw events. What ended before the last time is looked at again now and then only."""
        # Followers elsewhere may still have to read the end of a run that has only just ended.
        kept = timedelta(seconds=max(self._runner.resume_seconds, SETTLE_SECONDS))
        before = timezone.now() - kept
        after = None
        if self._dropped_upto is not None and time.monotonic() < self._next_full_look:
            after = self._dropped_upto - CLOCKS_APART
        store = self._runner.store
        while old := await self._runner.read(store.with_segments, before, after):
            await self._runner.write(store.drop_segments, old)
        if after is None:
            self._next_full_look = time.monotonic() + FULL_LOOK_SECONDS
        self._dropped_upto = before

    async def sweep(self) -> None:
        """End runs whose process is gone, and drop raw events nobody will ask for any more."""
        await self._runner.reap_all()
        await self._drop_segments()
        store = self._runner.store
        while old := await self._runner.read(store.old_tokens, int(time.time())):
            await self._runner.write(store.drop_tokens, old)
        if time.monotonic() >= self._next_forget:
            await self._runner.write(self._runner.store.drop_deleted, DELETED_SECONDS)
            self._next_forget = time.monotonic() + FORGET_SECONDS
