"""What stands before a site that is restarted: an address that stays."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

from tests.chaos.cutting import Line

SECONDS = 10


class Address:
    """A `Line` in a thread of its own, for tests that have no event loop."""

    def __init__(self, port: int) -> None:
        self._line = Line(port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._line.port}"

    def lead_to(self, port: int) -> None:
        """Lead to another server, and cut what leads to the one before."""

        def lead() -> None:
            self._line.to = port
            self._line.cut()

        self._loop.call_soon_threadsafe(lead)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._line.__aenter__(), self._loop).result(SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    async def _close(self) -> None:
        await self._line.__aexit__(None, None, None)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=SECONDS)
