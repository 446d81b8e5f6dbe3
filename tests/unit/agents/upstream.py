"""An HTTP server on a real socket that answers with exactly the bytes a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

#: Writes the answer to one request; the connection is closed when it returns.
Answer = Callable[["Exchange"], Awaitable[None]]

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@dataclass
class Exchange:
    """One request, and how it is answered."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def client_left(self) -> None:
        """Return once the client has closed the connection."""
        await self.reader.read()

    def cut(self) -> None:
        """End the connection as a crash does."""
        self.writer.transport.abort()


@dataclass
class Upstream:
    url: str
    exchanges: list[Exchange] = field(default_factory=list)


@asynccontextmanager
async def upstream(answer: Answer) -> AsyncIterator[Upstream]:
    """Serve for as long as the block runs."""
    served = Upstream("")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            exchange = await _read(reader, writer)
            served.exchanges.append(exchange)
            await answer(exchange)
        except (OSError, EOFError):
            pass  # the client left
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/agent"
    try:
        yield served
    finally:
        server.close()
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
    exchange = Exchange(reader, writer)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n")
    exchange.head, *lines = head.split("\r\n")
    for line in lines:
        name, _, value = line.partition(":")
        # Repeated headers stay visible as such.
        known = exchange.headers.get(name.lower())
        exchange.headers[name.lower()] = value.strip() if known is None else f"{known}, {value}"
    exchange.body = await reader.readexactly(int(exchange.headers.get("content-length", 0)))
    return exchange


def answering(*pieces: bytes) -> Answer:
    """Answer every request with these bytes."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(*pieces)

    return answer


def frame(event: Any, end: bytes = b"\n") -> bytes:
    return b"data: " + orjson.dumps(event) + end + end
