"""Hints between processes over the channel layer: new data, stop, notices. Any may be lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from copilotkit_django.background import spawn

logger = logging.getLogger("copilotkit.hints")

GROUP = "copilotkit.hints"

#: A layer that takes longer is not waited for: whoever needs the news finds it by polling.
SEND_SECONDS = 1.0

#: Members of a group are forgotten after a while; membership is renewed so often.
REJOIN_SECONDS = 3600.0

#: The pause before listening again after the layer has failed.
RETRY_SECONDS = 1.0


class Hints:
    """Tells other processes where to look, and is told.

    The database is the truth; a hint only makes somebody look sooner. Sending is never waited for.
    Without a channel layer that reaches other processes, nothing is sent at all.
    """

    def __init__(
        self,
        *,
        on_data: Callable[[list[int]], None],
        on_stop: Callable[[str, str], None],
        on_notice: Callable[[str, list[str]], None],
    ) -> None:
        self._on_data = on_data
        self._on_stop = on_stop
        self._on_notice = on_notice
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._runs: set[int] = set()
        self._stops: set[tuple[str, str]] = set()
        self._notices: dict[str, set[str]] = {}
        #: It was said that the layer fails; once is enough until it works again.
        self._failing = False

    def listen(self) -> None:
        """Begin to listen on this loop."""
        if _layer() is None:
            return
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._listening is None or self._listening.done():
            self._loop = loop
            self._listening = spawn(self._listen())

    def close(self) -> None:
        """Listen no more, and tell nobody anything."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed() and self._listening is not None:
            loop.call_soon_threadsafe(self._listening.cancel)

    def data(self, runs: list[int]) -> None:
        """There are new events of these runs, or their end."""
        if self._loop is not None and self._loop is asyncio.get_running_loop():
            self._runs.update(runs)
            self._send()

    def data_from_thread(self, runs: list[int]) -> None:
        """The same from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self.data, runs)

    def stop(self, holder: str, key: str) -> None:
        """The run on this thread, owned by that process, shall stop."""
        if self._loop is not None and self._loop is asyncio.get_running_loop():
            self._stops.add((holder, key))
            self._send()

    def notice(self, kind: str, news: Sequence[str]) -> None:
        """Have notices of a kind told in all processes. May be called from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._notice, kind, news)

    def _notice(self, kind: str, news: Sequence[str]) -> None:
        self._notices.setdefault(kind, set()).update(news)
        self._send()

    def _send(self) -> None:
        # What comes while a message is under way goes into the next one.
        if self._sending is None or self._sending.done():
            self._sending = spawn(self._send_all())

    async def _send_all(self) -> None:
        while self._runs or self._stops or self._notices:
            runs, self._runs = self._runs, set()
            stops, self._stops = self._stops, set()
            notices, self._notices = self._notices, {}
            message = {
                "type": "copilotkit.hint",
                "runs": list(runs),
                "stops": [list(stop) for stop in stops],
                "notices": {kind: list(news) for kind, news in notices.items()},
            }
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await _layer().group_send(GROUP, message)
            except Exception as error:
                self._report("The channel layer did not take a hint", error)
            else:
                self._failing = False

    def _report(self, what: str, error: Exception) -> None:
        level = logging.DEBUG if self._failing else logging.WARNING
        self._failing = True
        logger.log(level, "%s: %r", what, error)

    async def _listen(self) -> None:
        while True:
            try:
                await self._take_part(_layer())
            except Exception as error:
                self._report("The channel layer failed; listening again soon", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _take_part(self, layer: Any) -> None:
        """Receive what the group is sent until the membership is to be renewed."""
        channel = await layer.new_channel()
        await layer.group_add(GROUP, channel)
        try:
            async with asyncio.timeout(REJOIN_SECONDS) as membership:
                while True:
                    message = await layer.receive(channel)
                    self._on_data(message["runs"])
                    for holder, key in message["stops"]:
                        self._on_stop(holder, key)
                    for kind, news in message.get("notices", {}).items():
                        self._on_notice(kind, news)
        except TimeoutError:
            if not membership.expired():
                raise
        finally:
            # The group would go on filling a channel that nobody reads.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(SEND_SECONDS):
                    await layer.group_discard(GROUP, channel)


def reach_others() -> bool:
    """Whether there is a channel layer that reaches other processes."""
    return _layer() is not None


def _layer() -> Any:
    """The project's channel layer, if it reaches other processes."""
    from channels.layers import (
        InMemoryChannelLayer,
        get_channel_layer,
    )

    layer = get_channel_layer()
    return None if layer is None or isinstance(layer, InMemoryChannelLayer) else layer
