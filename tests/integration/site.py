"""A site with endpoints on it, and somebody who calls them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest
from django.test import AsyncClient
from django.urls import path

from copilotkit_django.runtime import Runtime
from tests.talk import SECONDS, Event, events_in, within

BASE = "/api/copilotkit"


class Site:
    """A URLconf: what ROOT_URLCONF takes in place of a module."""

    def __init__(self, mounts: Mapping[str, Runtime], *more: Any) -> None:
        self.urlpatterns = [
            *(path(mount.lstrip("/"), runtime.urls) for mount, runtime in mounts.items()),
            *more,
        ]


def by_header(request: HttpRequest) -> Any:
    """An AUTHENTICATION callable: whoever a header names, in a scope of their own."""
    name = request.headers.get("x-user")
    return (None, f"user:{name}") if name else None


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)

    @property
    def events(self) -> list[Event]:
        assert self.status == 200
        assert self.headers["Content-Type"] == "text/event-stream"
        return events_in(self.body)


@dataclass
class Caller:
    """A browser: its cookies, and headers it sends with every request."""

    base: str = BASE
    headers: dict[str, str] = field(default_factory=dict)
    client: AsyncClient = field(default_factory=AsyncClient)
    #: So long it waits for an answer to begin.
    seconds: float = SECONDS

    async def open(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The response as Django gives it, its stream not read yet. ``body``: bytes, or a value."""
        content = b"" if body is None else body if isinstance(body, bytes) else _json(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await within(
            self.client.generic(
                method,
                self.base + path,
                content,
                content_type=named.pop("content-type", "application/json"),
                headers={**self.headers, **named},
            ),
            self.seconds,
        )

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """The answer, to its end."""
        return await read(await self.open(method, path, body, **headers))

    async def run(self, wire: Any, agent: str = "default", **headers: str) -> Answer:
        return await self.ask("POST", f"/agent/{agent}/run", wire, **headers)

    async def connect(self, wire: Any, agent: str = "default", **headers: str) -> Answer:
        return await self.ask("POST", f"/agent/{agent}/connect", wire, **headers)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


async def read(response: Any) -> Answer:
    """A response, to its end."""
    if response.streaming:
        body = await within(_joined(response))
    else:
        body = response.content
    return Answer(response.status_code, response.headers, body)


async def _joined(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response])


async def first_event(response: Any) -> AsyncIterator[bytes]:
    """Wait for the first events of a live stream; returns the rest of the stream."""
    chunks = aiter(response)
    while b"data: " not in await within(anext(chunks)):
        pass
    return chunks


class Connection(ApplicationCommunicator):
    """One HTTP request at the border of the ASGI application, where a client can go away."""

    def __init__(
        self,
        application: Any,
        path: str,
        body: bytes = b"",
        *,
        method: str = "POST",
        raw_path: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        whole: bool = True,
    ) -> None:
        given = {"host": "testserver", "content-type": "application/json", **(headers or {})}
        super().__init__(
            application,
            {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": method,
                "scheme": "http",
                "path": path,
                "raw_path": path.encode() if raw_path is None else raw_path,
                "query_string": b"",
                "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
                "server": ("testserver", 80),
                "client": ("127.0.0.1", 1),
            },
        )
        self._first = {"type": "http.request", "body": body, "more_body": not whole}

    async def begin(self, *rest: bytes) -> int:
        """Send the request, and the rest of its body; the status it is answered with."""
        await self.send_input(self._first)
        for number, piece in enumerate(rest, 1):
            more = number < len(rest)
            await self.send_input({"type": "http.request", "body": piece, "more_body": more})
        return int((await self.receive_output(SECONDS))["status"])

    async def chunk(self) -> bytes:
        """The next piece of the body that is not empty; empty at its end."""
        while True:
            message = await self.receive_output(SECONDS)
            if message.get("body") or not message.get("more_body"):
                return bytes(message.get("body", b""))

    async def rest(self) -> bytes:
        """Everything that is still to come."""
        body, more = b"", True
        while more:
            message = await self.receive_output(SECONDS)
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body

    async def finish(self) -> bytes:
        """Everything that is still to come, and the end of the application's work."""
        body = await self.rest()
        await self.wait(SECONDS)
        return body

    async def leave(self) -> None:
        """Close the connection, as a browser does."""
        await self.send_input({"type": "http.disconnect"})
        await self.wait(SECONDS)
