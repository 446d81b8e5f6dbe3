"""A line to a server that can be cut, and be laid to another one."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Line:
    """Listens, and passes bytes on to the server it leads to."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.cuts = 0
        self.opened = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None] | None] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        while self._serving:
            # One that was about to be connected is so only now.
            self._abort()
            await asyncio.sleep(0.01)

    def cut(self) -> None:
        """Reset all connections that are open now."""
        self.cuts += bool(self._open)
        self._abort()

    def _abort(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        try:
            await self._connect(reader, writer)
        finally:
            self._serving.discard(asyncio.current_task())

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.transport.abort()
            return
        self.opened += 1
        ends = {writer, up_writer}
        self._open |= ends
        try:
            await asyncio.wait(
                [
                    asyncio.create_task(_pass_on(reader, up_writer)),
                    asyncio.create_task(_pass_on(up_reader, writer)),
                ]
            )
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, OSError):
        pass
    finally:
        writer.transport.abort()
