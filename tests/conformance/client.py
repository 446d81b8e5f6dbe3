"""A bare HTTP/1.1 client that shows how a response arrived, not only what it said.

One connection per request, so a request can be cut at a chosen event and two requests
never share a socket.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from .case import Request

HOST = "127.0.0.1"


class Exchange:
    """One request and what came back so far."""

    def __init__(self, request: Request, port: int) -> None:
        self.request = request
        self.port = port
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.content = bytearray()
        self.events: list[Any] = []
        self.comments: list[dict[str, Any]] = []
        self.bad_frames: list[str] = []
        self.failure: str | None = None
        self.done = False
        self._changed = asyncio.Condition()
        self._unread = b""

    @property
    def is_stream(self) -> bool:
        return self.header("content-type").startswith("text/event-stream")

    def header(self, name: str) -> str:
        return dict(self.headers).get(name, "")

    async def reached(self, events: int | None) -> None:
        """Wait until `events` events are there (None: until the response is complete)."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self.done or (events is not None and len(self.events) >= events)
            )

    async def begun(self) -> None:
        """Wait until the answer has begun."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.done or self.status is not None)

    async def send(self) -> None:
        """Send the request and read the answer. Never raises: see `failure`."""
        try:
            reader, writer = await asyncio.open_connection(HOST, self.port, limit=1 << 24)
            try:
                writer.write(self._request_bytes())
                await writer.drain()
                await self._read(reader)
            finally:
                writer.close()
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self.done = True
            await self._notify()

    def _request_bytes(self) -> bytes:
        request = self.request
        lines = [f"{request.method} {request.path} HTTP/1.1", f"host: localhost:{self.port}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if request.content or request.method in {"POST", "PUT", "PATCH"}:
            lines.append(f"content-length: {len(request.content)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + request.content

    async def _read(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.status = int(first.split(" ")[1])
        pairs = (line.partition(":") for line in lines)
        self.headers = [(name.lower(), value.strip()) for name, _, value in pairs]
        await self._notify()
        async for data in self._body(reader):
            self.content += data
            if self.is_stream:
                self._unread += data
                self._take_frames()
            await self._notify()
            if self._seen_enough():
                return
        if self._unread:
            self.bad_frames.append(self._unread.decode("utf-8", "replace"))

    async def _body(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        if self.status in {204, 304} or self.request.method == "HEAD":
            return
        if self.header("transfer-encoding") == "chunked":
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                yield await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readuntil(b"\r\n")
        elif length := self.header("content-length"):
            yield await reader.readexactly(int(length))
        else:
            while data := await reader.read(65536):
                yield data

    def _take_frames(self) -> None:
        *frames, self._unread = self._unread.split(b"\n\n")
        for text in (frame.decode() for frame in frames):
            if text.startswith(":"):
                self.comments.append({"after_events": len(self.events), "comment": text})
                continue
            try:
                # One `data:` line per event is part of the contract: no `event:`, no `id:`.
                if not text.startswith("data: ") or "\n" in text:
                    raise ValueError
                self.events.append(json.loads(text.removeprefix("data: ")))
            except ValueError:
                self.bad_frames.append(text)

    def _seen_enough(self) -> bool:
        events = self.request.disconnect_after_events
        comments = self.request.disconnect_after_comments
        return (events is not None and len(self.events) >= events) or (
            comments is not None and len(self.comments) >= comments
        )

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def fetch(port: int, path: str, method: str = "GET") -> Any:
    """The JSON body of a plain request, None if there is none."""
    exchange = Exchange(Request(method=method, path=path, headers={}, content=b""), port)
    await exchange.send()
    try:
        return json.loads(exchange.content)
    except ValueError:
        return None
