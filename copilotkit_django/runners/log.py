"""The append-only log of one live run, and its readers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import NamedTuple, Self

#: Most events a reader takes at once. Bounds the chunk a slow client has to be sent in one piece.
MAX_BATCH = 512

#: A batch of whole runs is sent once it has so many bytes.
BATCH_BYTES = 256 * 1024


class Batch(list[bytes]):
    """Encoded events, in order, sent together. An empty one says: still alive, nothing new.

    ``prefix`` and ``first`` name their places: the event at index ``i`` has the cursor
    ``f"{prefix}{first + i}"``. Without a prefix they have none.
    """

    __slots__ = ("first", "prefix")

    def __init__(self, events: Iterable[bytes] = (), prefix: str = "", first: int = 0) -> None:
        super().__init__(events)
        self.prefix = prefix
        self.first = first


def pieces(batch: Batch) -> Iterator[Batch]:
    """A batch in parts of `BATCH_BYTES` at the most, or of one event that is larger by itself."""
    size = start = 0
    for number, event in enumerate(batch):
        if size + len(event) > BATCH_BYTES and number > start:
            yield Batch(batch[start:number], batch.prefix, batch.first + start)
            start, size = number, 0
        size += len(event)
    if start:
        yield Batch(batch[start:], batch.prefix, batch.first + start)
    elif batch:
        yield batch


class Cursor(NamedTuple):
    """The place of an event a reader has had: ``[<epoch>-]<run position>.[<form>]<number>``.

    The number counts the events of the run in the form it was read in: the raw events it sent
    (no letter), its compacted ones (``c``), or those that ended it for a process that was gone
    (``e``). The epoch is that of a runner that forgets.
    """

    epoch: str
    position: int
    form: str
    number: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The cursor in a text; ``None`` if it is none of ours."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            return None
        epoch, position, form, number = found.groups()
        return cls(epoch or "", int(position), form, int(number))


#: The place before every event, for a reader that has had none and wants cursors.
START = Cursor("", 0, "", 0)

_CURSOR = re.compile(r"(?:([0-9a-f]{1,16})-)?([0-9]{1,18})\.([ce]?)([0-9]{1,18})")

#: The forms of a run's events in a cursor.
RAW, COMPACTED, ENDING = "", "c", "e"


class RunLog:
    """Every event of one live run, encoded once, in the order it was sent.

    One writer appends; any number of readers follow, each with a cursor of its own, so a slow
    reader neither loses anything nor holds up anybody. Belongs to one event loop.
    """

    __slots__ = ("_waiting", "closed", "events", "prefix", "size")

    def __init__(self, prefix: str = "") -> None:
        self.events: list[bytes] = []
        #: What the cursors of its events begin with.
        self.prefix = prefix
        self.closed = False
        #: How many bytes its events are.
        self.size = 0
        self._waiting: set[asyncio.Future[bool]] = set()

    def append(self, event: bytes) -> None:
        """Add one encoded event and wake the readers."""
        self.events.append(event)
        self.size += len(event)
        if self._waiting:
            self._wake()

    def flush(self) -> None:
        """What was appended last should be kept safe at once, where anything is kept."""

    async def ready(self) -> None:
        """Wait until the log takes more events; always gives the loop a turn."""
        await asyncio.sleep(0)

    def close(self) -> None:
        """No more events: readers end once they have read everything."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(True)

    async def read(self, after: int = 0, *, idle: float | None = None) -> AsyncIterator[Batch]:
        """Follow the log from event number ``after`` to its end.

        Everything that is ready goes out in one batch; nothing ever waits to fill one. After
        ``idle`` seconds without news an empty batch is yielded.
        """
        events = self.events
        while True:
            if after < len(events):
                batch = Batch(events[after : after + MAX_BATCH], self.prefix, after)
                after += len(batch)
                yield batch
                if after < len(events):
                    # A consumer whose send never waits (daphne) would otherwise keep the loop to
                    # itself until the end of the backlog.
                    await asyncio.sleep(0)
            elif self.closed:
                return
            elif not await self._news(idle):
                yield Batch()

    async def _news(self, idle: float | None) -> bool:
        """Wait for the next change; false if ``idle`` seconds pass without one."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting.add(future)
        timer = loop.call_later(idle, _give_up, future) if idle else None
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            self._waiting.discard(future)


def _give_up(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(False)
