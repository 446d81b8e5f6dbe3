"""A live run of this process: its log, and what of it is written."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from copilotkit_django.runners.log import RunLog
from copilotkit_django.runners.writer import SEGMENT_BYTES, SEGMENT_EVENTS, GroupWriter
from copilotkit_django.runners.writes import Append

#: An agent that is so many events ahead of the database waits for it.
MAX_UNWRITTEN = 50_000


class DurableLog(RunLog):
    """A run's log that a writer follows, like a reader with a cursor of its own.

    Appending costs what it costs any log, and a flag. All methods but `unwritten`, `written`,
    `lost` and `refused`, which the writer's thread calls, belong to the event loop.
    """

    __slots__ = (
        "_advanced",
        "_awaited",
        "_behind_since",
        "_cut",
        "_cutting",
        "_loop",
        "_on_lost",
        "_writer",
        "abandoned",
        "broken",
        "durable",
        "key",
        "position",
        "queued",
        "run",
        "thread",
    )

    def __init__(
        self,
        writer: GroupWriter,
        *,
        key: str,
        thread: int,
        run: int,
        position: int,
        on_lost: Callable[[DurableLog, Exception | None], None],
    ) -> None:
        super().__init__(prefix=f"{position}.")
        self.key = key
        self.thread = thread
        self.run = run
        self.position = position
        self.queued = False
        self.abandoned = False
        self.broken = False
        #: So many events are committed.
        self.durable = 0
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        #: So many events have been handed to the writer.
        self._cut = 0
        # The end of a run is cut off on the loop, what comes before it on the writer's thread.
        self._cutting = threading.Lock()
        self._behind_since: float | None = None
        self._advanced = asyncio.Event()
        #: The agent waits for the database.
        self._awaited = False

    def append(self, event: bytes) -> None:
        # Called for every event of every run, so it does not call the log's own.
        self.events.append(event)
        self.size += len(event)
        if self._waiting:
            self._wake()
        if not self.queued and not self.abandoned:
            if self._behind_since is None:
                self._behind_since = time.monotonic()
            self._writer.add(self)

    def flush(self) -> None:
        """Have what is there written at once."""
        if not self.abandoned:
            self._writer.add(self, urgent=True)

    async def ready(self) -> None:
        """Wait until the database has caught up far enough for more events."""
        await asyncio.sleep(0)
        while self._is_ahead():
            self._advanced.clear()
            self._awaited = True
            # Asked again: the writer may have caught up before it could know that we wait.
            if self._is_ahead():
                await self._advanced.wait()

    def _is_ahead(self) -> bool:
        return not self.abandoned and len(self.events) - self.durable > MAX_UNWRITTEN

    def behind_for(self) -> float:
        """How many seconds the oldest event that is not committed has waited."""
        since = self._behind_since
        return 0.0 if since is None else time.monotonic() - since

    def abandon(self) -> None:
        """Have nothing more of this run written."""
        self.abandoned = True
        self._advanced.set()

    def tail(self, held: bytes | None) -> list[Append]:
        """What was not handed to the writer yet, with the terminal event that is held back."""
        with self._cutting:
            rest = self.events[self._cut :]
            if held is not None:
                rest.append(held)
            return self._slices(rest)

    def unwritten(self) -> list[Append]:
        with self._cutting:
            return self._slices(self.events[self._cut :])

    def _slices(self, events: list[bytes]) -> list[Append]:
        appends = []
        start = 0
        while start < len(events):
            size, end = 0, start
            upto = min(len(events), start + SEGMENT_EVENTS)
            while end < upto and size < SEGMENT_BYTES:
                size += len(events[end])
                end += 1
            appends.append(self._slice(events[start:end]))
            start = end
        return appends

    def _slice(self, events: list[bytes]) -> Append:
        first, self._cut = self._cut, self._cut + len(events)
        data = b"\n".join(events)
        return Append(self.key, self.thread, self.run, self.position, first, self._cut - 1, data)

    def written(self, upto: int) -> None:
        self.durable = max(self.durable, upto)
        self._behind_since = None if upto >= len(self.events) else time.monotonic()
        if self._awaited:
            self._awaited = False
            self._call_soon(self._advanced.set)

    def lost(self) -> None:
        self._call_soon(self._on_lost, self, None)

    def refused(self, error: Exception) -> None:
        self._call_soon(self._on_lost, self, error)

    def _call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        # A loop that is closed has nobody left who could care.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)
