"""A small HTTP server on this machine, for agents that talk to one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"


@dataclass
class Asked:
    """One request: where it went, and what it said."""

    path: str
    headers: Mapping[str, str]
    data: Any


@dataclass
class HttpServer:
    """Answers every request alike, and remembers what it was asked.

    The answer is ``pieces``, then the end of the connection; with ``hangs`` that end is left to the
    client.
    """

    url: str = ""
    status: int = 200
    content_type: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    hangs: bool = False
    asked: list[Asked] = field(default_factory=list)
    #: The client of an answer that hangs went away.
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def says(self, text: str) -> None:
        self.pieces = [text.encode()]

    def streams(self, values: Iterable[Any], end: bytes = b"") -> None:
        """Answer with server-sent events from now on."""
        self.content_type = "text/event-stream"
        frames = [b"data: " + json.dumps(value).encode() + b"\n\n" for value in values]
        self.pieces = [*frames, *([end] if end else [])]

    def completes(self, *texts: str) -> None:
        """Answer as OpenAI's chat completions do."""
        chunks = [_completion([{"delta": {"role": "assistant", "content": ""}}])]
        chunks += [_completion([{"delta": {"content": text}}]) for text in texts]
        chunks += [_completion([{"delta": {}, "finish_reason": "stop"}]), _completion([])]
        # One that hangs is still busy with its words.
        done = b"" if self.hangs else b"data: [DONE]\n\n"
        self.streams(chunks[:-2] if self.hangs else chunks, done)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            pairs = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers["content-length"]))
            self.asked.append(Asked(first.split(" ")[1], headers, json.loads(body)))
            answer = {"content-type": self.content_type, "connection": "close", **self.headers}
            lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{k}: {v}" for k, v in answer.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
            if self.hangs:
                await reader.read()
                self.left.set()
        finally:
            writer.close()


def _completion(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "test",
        "choices": [{"index": 0, "finish_reason": None, **choice} for choice in choices],
    }


@asynccontextmanager
async def http_server():
    server = HttpServer()
    async with await asyncio.start_server(server.connected, HOST, 0) as listening:
        server.url = f"http://{HOST}:{listening.sockets[0].getsockname()[1]}/v1"
        yield server
