"""The client side of a load test: HTTP/1.1 on a bare asyncio.Protocol.

On a small machine the client shares the cores with the server, so it must stay cheap: frames are
counted where they arrive and nothing is decoded.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

now = time.perf_counter

#: Called with each event frame and the time it arrived, in milliseconds since the epoch.
OnFrame = Callable[[bytes, float], None]


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection that carries one request at a time, with the figures of the last."""

    transport: asyncio.Transport
    alive = False
    _answer: asyncio.Future[Connection] | None = None

    def request(
        self, payload: bytes, on_frame: OnFrame | None = None
    ) -> asyncio.Future[Connection]:
        """Send a request; the future yields this connection once the response is complete."""
        self.status = 0
        self.frames = 0
        self.body_bytes = 0
        self.last_frame = b""
        self.first_byte_at: float | None = None
        self.ended_at = 0.0
        self._on_frame = on_frame
        self._head = b""
        self._in_body = False
        self._chunks = bytearray()
        self._chunk_left: int | None = None  # bytes left in the current chunk, with its line end
        self._partial_frame = b""
        self._answer = asyncio.get_running_loop().create_future()
        self.sent_at = now()
        self.transport.write(payload)
        return self._answer

    @property
    def reusable(self) -> bool:
        return not self._closes and not self._until_close

    @property
    def total_ms(self) -> float:
        return (self.ended_at - self.sent_at) * 1000

    @property
    def first_ms(self) -> float:
        return ((self.first_byte_at or self.ended_at) - self.sent_at) * 1000

    def completed(self, frames: int) -> bool:
        """Whether the run ended well, with this many events."""
        return self.frames == frames and b'"RUN_FINISHED"' in self.last_frame

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.alive = True
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            return
        if not self._in_body:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._read_head(head)
            if self.status == 204 or self._length == 0:
                return self._finish()
            if not data:
                return
        if self._chunked:
            self._chunks += data
            self._read_chunks()
        else:
            self._read_body(data)
            if self._length is not None and self.body_bytes >= self._length:
                self._finish()

    def connection_lost(self, error: Exception | None) -> None:
        self.alive = False
        if self._answer is None or self._answer.done():
            return
        if self._in_body and self._until_close and error is None:
            self._finish()
        else:
            self._answer.set_exception(error or ConnectionError("closed early"))

    # Parsing

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").lower().split("\r\n")
        self.status = int(first.split(" ")[1])
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip(): value.strip() for name, _, value in pairs}
        self._chunked = "chunked" in headers.get("transfer-encoding", "")
        self._length = int(headers["content-length"]) if "content-length" in headers else None
        self._closes = headers.get("connection") == "close"
        self._until_close = not self._chunked and self._length is None and self.status != 204
        self._in_body = True

    def _read_chunks(self) -> None:
        chunks, position, ended = self._chunks, 0, False
        whole = []
        while True:
            if self._chunk_left is None:
                line_end = chunks.find(b"\r\n", position)
                if line_end < 0:
                    break
                size = int(bytes(chunks[position:line_end]).split(b";")[0], 16)
                position = line_end + 2
                if size == 0:
                    ended = True
                    break
                self._chunk_left = size + 2
            if len(chunks) - position < self._chunk_left:
                break
            whole.append(bytes(chunks[position : position + self._chunk_left - 2]))
            position += self._chunk_left
            self._chunk_left = None
        del chunks[:position]
        if whole:
            self._read_body(b"".join(whole))
        if ended:
            self._finish()

    def _read_body(self, data: bytes) -> None:
        self.body_bytes += len(data)
        if self.first_byte_at is None:
            self.first_byte_at = now()
        *frames, self._partial_frame = (self._partial_frame + data).split(b"\n\n")
        if not frames:
            return
        arrived = time.time() * 1000
        for frame in frames:
            if frame[:1] != b":":
                self.frames += 1
                if self._on_frame is not None:
                    self._on_frame(frame, arrived)
        self.last_frame = frames[-1]

    def _finish(self) -> None:
        assert self._answer is not None
        if not self._answer.done():
            self.ended_at = now()
            self._answer.set_result(self)


class Client:
    """Runs and connects on one agent of one server, over connections it keeps for reuse."""

    def __init__(self, base: str, agent: str, headers: Mapping[str, str]) -> None:
        url = urlsplit(base)
        self._host, self._port = url.hostname, url.port or 80
        self._path = f"{url.path.rstrip('/')}/agent/{quote(agent, safe='')}"
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._idle: list[Connection] = []

    async def open(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._host, self._port)
        return connection

    async def run(self, thread: str, run: str, text: str, **options: Any) -> Connection:
        message = {"id": f"{run}-u1", "role": "user", "content": text}
        return await self._call("run", thread, run, [message], **options)

    async def connect(self, thread: str, run: str, **options: Any) -> Connection:
        return await self._call("connect", thread, run, [], **options)

    async def _call(
        self,
        operation: str,
        thread: str,
        run: str,
        messages: list[Any],
        *,
        on_frame: OnFrame | None = None,
        connection: Connection | None = None,
        timeout: float = 120,
    ) -> Connection:
        payload = self._payload(operation, thread, run, messages)
        own = connection is None
        connection = connection or self._take_idle() or await self.open()
        await asyncio.wait_for(connection.request(payload, on_frame), timeout)
        if connection.status != 200:
            raise RuntimeError(f"status {connection.status}")
        if own and connection.reusable:
            self._idle.append(connection)
        return connection

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
        return None

    def _payload(self, operation: str, thread: str, run: str, messages: list[Any]) -> bytes:
        input = {
            "threadId": thread,
            "runId": run,
            "state": {},
            "messages": messages,
            "tools": [],
            "context": [],
            "forwardedProps": {},
        }
        body = json.dumps(input).encode()
        head = (
            f"POST {self._path}/{operation} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
            "content-type: application/json\r\naccept: text/event-stream\r\n"
            f"{self._headers}content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
