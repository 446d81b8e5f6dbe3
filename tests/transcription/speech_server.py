"""A speech server with OpenAI's interface, on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any

HOST = "127.0.0.1"
PATH = "/v1/audio/transcriptions"


@dataclass
class Asked:
    """One request for a transcription."""

    path: str
    headers: Mapping[str, str]
    #: The fields of the form; that of the recording is its bytes.
    fields: dict[str, Any]
    filename: str | None
    mime_type: str


@dataclass
class SpeechServer:
    """Answers every request alike, and remembers what it was asked."""

    url: str = ""
    status: int = 200
    answer: Any = field(default_factory=lambda: {"text": "hello there"})
    asked: list[Asked] = field(default_factory=list)

    def fails(self, status: int, message: str, code: str | None = None) -> None:
        """Answer with an error from now on."""
        self.status = status
        self.answer = {"error": {"message": message, "type": "invalid_request_error", "code": code}}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            pairs = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers["content-length"]))
            self.asked.append(_read_form(first.split(" ")[1], headers, body))
            content = json.dumps(self.answer).encode()
            writer.write(
                f"HTTP/1.1 {self.status} Whatever\r\ncontent-type: application/json\r\n"
                f"content-length: {len(content)}\r\nconnection: close\r\n\r\n".encode()
                + content
            )
            await writer.drain()
        finally:
            writer.close()


def _read_form(path: str, headers: Mapping[str, str], body: bytes) -> Asked:
    form = message_from_bytes(
        b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body
    )
    asked = Asked(path, headers, {}, None, "")
    for part in form.get_payload():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if part.get_filename() is None:
            asked.fields[name] = content.decode()
        else:
            asked.fields[name], asked.filename = content, part.get_filename()
            asked.mime_type = part["content-type"]
    return asked


@asynccontextmanager
async def speech_server():
    server = SpeechServer()
    async with await asyncio.start_server(server.connected, HOST, 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        server.url = f"http://{HOST}:{port}/v1"
        yield server
