"""Reading a thread from the database: its history, the place a reader left off, its live run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from copilotkit_django.runners.history import lowered, reset_marker
from copilotkit_django.runners.log import (
    BATCH_BYTES,
    COMPACTED,
    ENDING,
    RAW,
    START,
    Batch,
    Cursor,
    RunLog,
)
from copilotkit_django.runners.reads import Head, StoredRun

if TYPE_CHECKING:
    from copilotkit_django.runners.database import DatabaseRunner

#: Runs of a thread's history read at a time.
PAGE = 250

#: Events of a history sent together.
BATCH = 2000


@dataclass(frozen=True, slots=True)
class Replay:
    """Reads runs in order, each in the form it is kept in.

    Stored bytes are framed as they are, never parsed; ``modern`` as for `AgentRunner.connect`.
    """

    runner: DatabaseRunner
    modern: bool = False
    idle: float | None = None

    async def history(self, head: Head, live: RunLog | None) -> AsyncIterator[Batch]:
        """All runs of a thread, many in one batch, and the last one to its end.

        ``live`` is the log of the last run if this process owns it, looked up before the head.
        """
        batch, size = Batch(), 0
        async for run in self.runs(head, after=0):
            if run.compacted is not None:
                batch += self._in_form(run, _events(run))
                size += len(run.compacted)
                if len(batch) >= BATCH or size >= BATCH_BYTES:
                    yield batch
                    await asyncio.sleep(0)
                    batch, size = Batch(), 0
                continue
            if batch:
                yield batch
                batch, size = Batch(), 0
            async for news in self._follow(run, head, live, had=0):
                yield news
        if batch:
            yield batch

    async def resume(self, head: Head, live: RunLog | None, after: Cursor) -> AsyncIterator[Batch]:
        """What came after a cursor, one run a batch, so that each event has a cursor."""
        position = after.position
        if after is not START and (after.epoch or position > head.fence):
            yield Batch([reset_marker(0)])
            position = 0
        async for run in self.runs(head, after=position - 1):
            if run.position == position:
                reader = self._rest(run, head, live, after)
            else:
                reader = self._whole(run, head, live)
            async for batch in reader:
                yield batch
            await asyncio.sleep(0)

    async def run(self, run: StoredRun) -> AsyncIterator[Batch]:
        """One run to its end."""
        async for batch in self._whole(run, None, None):
            yield batch

    async def runs(self, head: Head, *, after: int) -> AsyncIterator[StoredRun]:
        """The runs of a thread in order, from behind a position on."""
        store = self.runner.store
        while True:
            page = await self.runner.read(
                store.runs, head.pk, after=after, upto=head.fence, limit=PAGE
            )
            for run in page:
                found = await self.runner.read(store.run, run.pk) if run.left_out else run
                if found is not None:
                    yield found
            if len(page) < PAGE:
                return
            after = page[-1].position

    async def _whole(
        self, run: StoredRun, head: Head | None, live: RunLog | None
    ) -> AsyncIterator[Batch]:
        if run.compacted is not None:
            yield self._in_form(run, _events(run))
            return
        async for batch in self._follow(run, head, live, had=0):
            yield batch

    async def _rest(
        self, run: StoredRun, head: Head, live: RunLog | None, after: Cursor
    ) -> AsyncIterator[Batch]:
        """What came after a cursor inside of a run."""
        had = after.number + 1
        if run.compacted is None:
            if after.form == RAW:
                async for batch in self._follow(run, head, live, had=had):
                    yield batch
                return
        elif after.form == COMPACTED:
            events = _events(run)
            yield self._in_form(run, Batch(events[had:], events.prefix, had))
            return
        else:
            rest = await self._stored_rest(run, after.form, had)
            if rest is not None:
                for batch in rest:
                    yield self._in_form(run, batch)
                return
        yield Batch([reset_marker(run.position)])
        async for batch in self._whole(run, head, live):
            yield batch

    async def _stored_rest(self, run: StoredRun, form: str, had: int) -> list[Batch] | None:
        """The raw events of an ended run from a number on; ``None`` if they are gone."""
        count = run.event_count or 0
        kept = count if run.kept_count is None else run.kept_count
        # Of a lost run a reader may have had events that were never stored. What it needs then is
        # the ending, all of it: the numbers of the ending are not those of what it had.
        first = kept + had if form == ENDING else min(had, kept)
        if first >= count:
            return []
        rows = await self.runner.read(self.runner.store.segments, [(run.pk, first)])
        events: list[bytes] = []
        for _, start, _, data in rows:
            if start > first + len(events):
                return None
            events += data.split(b"\n")[first + len(events) - start :]
        if first + len(events) < count:
            return None
        raw = Batch(events[: max(0, kept - first)], f"{run.position}.{RAW}", first)
        begun = max(0, first - kept)
        ending = Batch(events[len(raw) :], f"{run.position}.{ENDING}", begun)
        return [batch for batch in (raw, ending) if batch]

    async def _follow(
        self, run: StoredRun, head: Head | None, live: RunLog | None, *, had: int
    ) -> AsyncIterator[Batch]:
        """A run that has not ended, from a number on."""
        if live is not None and head is not None and run.position == head.fence:
            reader = live.read(had, idle=self.idle)
        else:
            reader = self.runner.followers.follow(run.pk, run.position, after=had, idle=self.idle)
        async for batch in reader:
            yield self._in_form(run, batch)

    def _in_form(self, run: StoredRun, batch: Batch) -> Batch:
        return lowered(batch) if run.modern and not self.modern else batch


def _events(run: StoredRun) -> Batch:
    """The compacted events of an ended run."""
    events = run.compacted.split(b"\n") if run.compacted else []
    return Batch(events, f"{run.position}.{COMPACTED}")
