"""A client close to the wire: requests are bytes, answers are read piece by piece."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]

#: For machines that are busy with something else.
PATIENCE = 60

#: Longest head or chunk size line of an answer.
LINE_LIMIT = 256 * 1024


class BrokenAnswer(AssertionError):
    """The server closed the connection, or answered what is no HTTP."""


@dataclass
class Answer:
    """The head of an answer, and the means to read the rest of it."""

    status: int
    headers: Mapping[str, str]
    _reader: asyncio.StreamReader
    _has_body: bool = True

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close" or self._until_close

    @property
    def _chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "")

    @property
    def _until_close(self) -> bool:
        return self._has_body and not self._chunked and "content-length" not in self.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        if not self._has_body:
            return
        if self._chunked:
            while size := await self._chunk_size():
                yield await self._reader.readexactly(size)
                await self._reader.readexactly(2)
            await self._reader.readline()
        elif self._until_close:
            while piece := await self._reader.read(65536):
                yield piece
        elif length := int(self.headers["content-length"]):
            yield await self._reader.readexactly(length)

    async def _chunk_size(self) -> int:
        return int((await self._reader.readline()).split(b";")[0], 16)

    async def body(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])

    async def json(self) -> Any:
        assert self.content_type == "application/json", self.headers
        return json.loads(await self.body())

    async def frames(self) -> AsyncIterator[bytes]:
        """The frames of an event stream, each as soon as it is complete, comments included.

        A gzip encoding is undone like curl does it: the end of the first member is the end.
        """
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS) if self._is_gzip else None
        rest = bytearray()
        async for piece in self.pieces():
            looked_at = max(0, len(rest) - 1)
            rest += inflate.decompress(piece) if inflate else piece
            while (end := rest.find(b"\n\n", looked_at)) >= 0:
                yield bytes(rest[:end])
                del rest[: end + 2]
                looked_at = 0
        assert not rest, f"The stream ends within a frame: {bytes(rest[:200])!r}"

    @property
    def _is_gzip(self) -> bool:
        return self.headers.get("content-encoding") == "gzip"

    async def events(self) -> AsyncIterator[Event]:
        """The events of an event stream."""
        assert self.content_type == "text/event-stream", (self.status, self.headers)
        async for frame in self.frames():
            if not frame.startswith(b":"):
                yield event_of(frame)


def event_of(frame: bytes) -> Event:
    """The event in a frame: one line of one JSON object."""
    assert frame.startswith(b"data: "), frame[:200]
    assert b"\n" not in frame, frame[:200]
    event = json.loads(frame.removeprefix(b"data: "))
    assert isinstance(event, dict), frame[:200]
    return event


class Connection:
    """One connection; requests follow one another on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        async with asyncio.timeout(PATIENCE):
            return cls(*await asyncio.open_connection("127.0.0.1", port, limit=LINE_LIMIT))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self._writer.drain()

    async def answer(self, *, to: str = "POST") -> Answer:
        """The head of the next answer."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise BrokenAnswer(f"closed after {error.partial[:200]!r}") from None
        except ConnectionError as error:
            raise BrokenAnswer(f"closed: {error}") from None
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        version, status, *_ = first.split(" ")
        if not version.startswith("HTTP/1."):
            raise BrokenAnswer(f"no HTTP: {first[:200]!r}")
        has_body = to != "HEAD" and status not in ("204", "304")
        return Answer(int(status), headers, self._reader, has_body)

    async def is_closed(self) -> bool:
        """Wait for the server to close the connection; false if it sends something instead."""
        try:
            return await self._reader.read(1) == b""
        except ConnectionError:
            return True

    async def post(self, path: str, value: Any, **headers: str) -> Answer:
        """Post a value as JSON and return the head of the answer."""
        await self.send(request("POST", path, json.dumps(value).encode(), **headers))
        async with asyncio.timeout(PATIENCE):
            return await self.answer()

    def abort(self) -> None:
        """Be gone without a goodbye."""
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._writer.wait_closed()
        except (ConnectionError, TimeoutError):
            pass


@asynccontextmanager
async def connect(port: int) -> AsyncIterator[Connection]:
    connection = await Connection.open(port)
    try:
        yield connection
    finally:
        await connection.close()


def request(method: str, path: str, body: bytes | None = b"", **headers: str) -> bytes:
    """A request as bytes; `body` None leaves its length and itself out."""
    lines = {"host": "127.0.0.1", "content-type": "application/json"}
    if body is not None:
        lines["content-length"] = str(len(body))
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")


def run_input(thread_id: str, text: str = "hello", **properties: Any) -> dict[str, Any]:
    """A run input; keyword arguments become its forwardedProps."""
    return {
        "threadId": thread_id,
        "runId": f"{thread_id}-run",
        "messages": [{"id": f"{thread_id}-question", "role": "user", "content": text}],
        "tools": [],
        "context": [],
        "state": {},
        "forwardedProps": properties,
    }
