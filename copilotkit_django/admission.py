"""How many requests are between the server and a view at a time.

Synchronous Django middleware hops to a thread and back for each of its hooks. A thousand requests
that arrive at once would all take these hops side by side: each is finished when all are, and the
streams that run already wait in every turn of the loop. Few at a time are through sooner on
average, and leave the loop to the streams. Waiting here costs nothing a queue of hops would not.

Nothing is held while a client is waited for: a few that send slowly would keep everybody else out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

#: The key of a request's `Passage` in its ASGI scope.
PASSAGE = "copilotkit.passage"

#: Requests on their way to a view, and answers on their way from one, at a time.
AT_A_TIME = 8


class Admission:
    """Lets requests to their view, and answers back, a few at a time, in order."""

    def __init__(self, at_a_time: int = AT_A_TIME) -> None:
        self._inwards = asyncio.Semaphore(at_a_time)
        self._outwards = asyncio.Semaphore(at_a_time)

    @contextlib.contextmanager
    def passage(self) -> Iterator[Passage]:
        """The way of one request; what is still held at its end is given back."""
        passage = Passage(self._inwards, self._outwards)
        try:
            yield passage
        finally:
            passage.give_back()


class Passage:
    """The way of one request: inwards to the view, outwards with the answer.

    While the view works it holds no place: a view may wait for anything.
    """

    def __init__(self, inwards: asyncio.Semaphore, outwards: asyncio.Semaphore) -> None:
        self._inwards = inwards
        self._outwards = outwards
        self._held: asyncio.Semaphore | None = None

    async def enter(self) -> None:
        """Wait for a place inwards. Only for a request all of whose body is there."""
        await self._take(self._inwards)

    async def _take(self, places: asyncio.Semaphore) -> None:
        await places.acquire()
        self._held = places

    def give_back(self) -> None:
        """Leave the place that is held, if any."""
        held, self._held = self._held, None
        if held is not None:
            held.release()

    @contextlib.asynccontextmanager
    async def at_the_view(self) -> AsyncIterator[None]:
        """The view works within this; its answer waits for a place outwards."""
        self.give_back()
        try:
            yield
        finally:
            await self._take(self._outwards)


@contextlib.asynccontextmanager
async def at_the_view(scope: dict[str, Any]) -> AsyncIterator[None]:
    """The same for whatever request: many come without a passage."""
    passage: Passage | None = scope.get(PASSAGE)
    if passage is None:
        yield
    else:
        async with passage.at_the_view():
            yield
