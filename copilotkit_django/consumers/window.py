"""How far a socket may run ahead of a client that reads slowly."""

from __future__ import annotations

import asyncio
from collections import deque

#: Frames and bytes of events that may be on their way without having been acknowledged. Some
#: servers (daphne) keep whatever a client does not read, without a limit, and tell nobody.
MAX_FRAMES = 256
MAX_BYTES = 1024 * 1024


class Window:
    """Counts the frames of events of one socket, and what of them was acknowledged.

    Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._number = 0
        #: Number and size of each frame that was not acknowledged.
        self._pending: deque[tuple[int, int]] = deque()
        self._size = 0
        self._advanced = asyncio.Event()

    def take(self, size: int) -> int:
        """Count a frame of so many bytes that is about to be sent; its number."""
        self._number += 1
        self._pending.append((self._number, size))
        self._size += size
        return self._number

    @property
    def is_full(self) -> bool:
        """Nothing more may be sent. A single frame always may, whatever its size."""
        return len(self._pending) >= MAX_FRAMES or self._size >= MAX_BYTES

    def acknowledge(self, number: int) -> bool:
        """All frames up to this one have been read; false for one that was not sent yet."""
        if number > self._number:
            return False
        while self._pending and self._pending[0][0] <= number:
            self._size -= self._pending.popleft()[1]
        self._advanced.set()
        return True

    async def room(self, seconds: float) -> bool:
        """Wait until more may be sent; false if nothing was acknowledged for so long."""
        while self.is_full:
            self._advanced.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._advanced.wait()
            except TimeoutError:
                return False
        return True
