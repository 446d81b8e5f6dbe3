"""Back-pressure under daphne, whose ``send`` never waits: what a client does not read would pile up
in the process."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Message = Mapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Flow:
    """The way of one answer through Twisted, which tells when its buffers are full.

    A producer in Twisted's sense (`IPushProducer`), registered while an answer is streamed.
    """

    def __init__(self, request: Any) -> None:
        self._request = request
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
        self._is_registered = False

    def pauseProducing(self) -> None:
        self._may_go_on.clear()

    def resumeProducing(self) -> None:
        self._may_go_on.set()

    def stopProducing(self) -> None:
        # Nobody will read the rest: whoever waits is to find that out.
        self._may_go_on.set()

    def begin(self) -> None:
        """From now on hear of full buffers."""
        if not self._is_registered and self._is_connected:
            self._is_registered = True
            self._request.registerProducer(self, True)

    async def ready(self) -> None:
        """Wait until the client has read enough for more to be sent."""
        await self._may_go_on.wait()

    def end(self) -> None:
        """All is sent, or nothing more will be. May be called again."""
        self._may_go_on.set()
        if self._is_registered:
            self._is_registered = False
            if self._is_connected:
                self._request.unregisterProducer()

    @property
    def _is_connected(self) -> bool:
        return self._request.channel is not None and not self._request.finished


def flow_of(send: Send) -> Flow | None:
    """The flow of the answer that ``send`` sends; ``None`` under servers that need none."""
    if "daphne.server" not in sys.modules or not isinstance(send, functools.partial):
        return None
    from daphne.http_protocol import WebRequest

    # What daphne binds its handler of answers to; other versions may do it differently.
    bound = send.args[0] if send.args else None
    return Flow(bound) if isinstance(bound, WebRequest) else None


def flowing(send: Send, flow: Flow) -> Send:
    """A ``send`` that waits while the client does not read."""

    async def waiting(message: Message) -> None:
        is_body = message["type"] == "http.response.body"
        if is_body and not message.get("more_body", False):
            flow.end()
        await send(message)
        if is_body and message.get("more_body", False):
            flow.begin()
            await flow.ready()

    return waiting
