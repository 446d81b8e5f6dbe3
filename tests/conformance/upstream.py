"""An AG-UI server for the remote agents: real sockets that drop, hang and answer nonsense."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"

#: Headers that belong to a connection or to one HTTP client, not to what was forwarded.
NOT_REPORTED = frozenset(
    {
        "accept-encoding",
        "accept-language",
        "connection",
        "content-length",
        "host",
        "sec-fetch-mode",
        "transfer-encoding",
        "user-agent",
    }
)

DROP_SECONDS = 0.05


def start_upstream() -> str:
    """Serve on a thread of its own for as long as the process lives; return the base URL."""
    listener = socket.create_server((HOST, 0), backlog=1024)
    threading.Thread(target=lambda: asyncio.run(_serve(listener)), daemon=True).start()
    return f"http://{HOST}:{listener.getsockname()[1]}"


async def _serve(listener: socket.socket) -> None:
    async with await asyncio.start_server(_connected, sock=listener) as server:
        await server.serve_forever()


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]
    input: Mapping[str, Any]


async def _connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the one request of a connection."""
    try:
        request = await _read(reader)
        await _Answer(reader, writer).send(request)
    except (OSError, EOFError):
        pass  # the client left
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> _Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    try:
        input = json.loads(body)
    except ValueError:
        input = {}
    return _Request(method, path, headers, input)


class _Answer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, request: _Request) -> None:
        match request.path:
            case "/status500":
                detail = '{"detail":"upstream failed"}'
                self._whole("500 Internal Server Error", "application/json", detail)
            case "/status401":
                self._whole("401 Unauthorized", "text/plain", "no token")
            case "/notsse":
                self._whole("200 OK", "application/json", '{"hello":1}')
            case _:
                await self._stream(request)
        await self._writer.drain()

    async def _stream(self, request: _Request) -> None:
        run_id = request.input.get("runId")
        message_id = f"{run_id}-m1"
        self._head("200 OK", "text/event-stream", "transfer-encoding: chunked")
        ids = {"threadId": request.input.get("threadId"), "runId": run_id}
        self._event({"type": "RUN_STARTED", **ids})
        match request.path:
            case "/drop":
                self._half_a_text(message_id)
                await self._writer.drain()
                await asyncio.sleep(DROP_SECONDS)
                self._writer.transport.abort()
                return
            case "/hang":
                self._half_a_text(message_id)
                await self._reader.read()  # until the client leaves
                return
            case "/badevent":
                self._event({"type": "TEXT_MESSAGE_CONTENT", "messageId": 7})
            case _:
                self._event(
                    {"type": "CUSTOM", "name": "upstream_request", "value": _reported(request)}
                )
                self._event({"type": "RUN_FINISHED", **ids})
        self._writer.write(b"0\r\n\r\n")

    def _half_a_text(self, id: str) -> None:
        self._event({"type": "TEXT_MESSAGE_START", "messageId": id, "role": "assistant"})
        self._event({"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": "par"})

    def _event(self, event: Mapping[str, Any]) -> None:
        frame = f"data: {json.dumps(event)}\n\n".encode()
        self._writer.write(f"{len(frame):x}\r\n".encode() + frame + b"\r\n")

    def _whole(self, status: str, content_type: str, body: str) -> None:
        self._head(status, content_type, f"content-length: {len(body)}")
        self._writer.write(body.encode())

    def _head(self, status: str, content_type: str, *more: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", *more, "connection: close"]
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")


def _reported(request: _Request) -> dict[str, Any]:
    headers = {
        name: value for name, value in sorted(request.headers.items()) if name not in NOT_REPORTED
    }
    return {
        "method": request.method,
        "path": request.path,
        "headers": headers,
        "bodyKeys": sorted(request.input),
    }
