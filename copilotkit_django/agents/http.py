"""Agents behind any AG-UI endpoint."""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import httpx

from copilotkit_django.agents.base import Agent, Event, RunContext
from copilotkit_django.events.pipeline import TERMINAL
from copilotkit_django.events.wire import decode, encode

#: Connecting may take so long; once connected, an agent may be silent for as long as it likes.
CONNECT_SECONDS = 10.0

#: So much of an error answer is kept for the log.
ERROR_TEXT_BYTES = 2000

#: The largest event taken from an endpoint.
MAX_EVENT_BYTES = 64 * 1024 * 1024

#: How a run ends that was stopped while its endpoint was still speaking. Official clients know the
#: code and show no error.
ABORTED = {
    "type": "RUN_ERROR",
    "message": "This operation was aborted",
    "code": "abort",
    "rawEvent": {},
}

BLOCK_END = re.compile(rb"\r?\n\r?\n")


class RemoteAgentError(Exception):
    """The endpoint answered with an error status, or with something that is not AG-UI."""


class RunRefused(RemoteAgentError):
    """The endpoint answered that the request is at fault: nothing runs there for it."""


class HttpAgent(Agent):
    """An agent that lives behind an AG-UI endpoint: POST of a RunAgentInput, answered by SSE.

    ``headers`` are sent with every run and win over forwarded ones of the same name, whatever
    their case. Redirects are not followed: forwarded credentials go to ``url`` and nowhere else.
    A refused, cut or malformed answer ends that run with a ``RUN_ERROR``, and so does the user's
    stop: what the endpoint would have said is not known.

    The endpoint gets the thread id of the client, which another owner may use as well. With
    ``own_threads`` it gets the key of the thread, which is this owner's alone: for an endpoint that
    remembers threads and does not know who asks.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        name: str = "",
        description: str = "",
        timeout: httpx.Timeout | float | None = None,
        own_threads: bool = False,
    ) -> None:
        self.url = url
        self.headers = dict(headers or {})
        self.name = name
        self.description = description
        self.timeout = httpx.Timeout(CONNECT_SECONDS, read=None) if timeout is None else timeout
        self.own_threads = own_threads

    def clone(self) -> Self:
        # Nothing here changes during a run.
        return self

    async def run(self, context: RunContext) -> AsyncIterator[Event]:
        event: dict[str, Any] = {}
        try:
            async with (
                httpx.AsyncClient(timeout=self.timeout, verify=tls()) as client,
                client.stream(
                    "POST",
                    self.run_url,
                    content=encode(self.body_for(context)),
                    headers=self.headers_for(context),
                ) as response,
            ):
                if not response.is_success:
                    problem = RunRefused if response.is_client_error else RemoteAgentError
                    raise problem(f"HTTP {response.status_code}: {await _text(response)}")
                async for event in events(response.aiter_bytes()):
                    if self.own_threads and "threadId" in event:
                        event["threadId"] = context.thread_id
                        # Holds the key too, and is ours to write.
                        event.pop("input", None)
                    yield event
        except asyncio.CancelledError:
            if not context.stop.is_set():
                raise
            if event.get("type") not in TERMINAL:
                yield dict(ABORTED)

    @property
    def run_url(self) -> str:
        """Where runs are posted to."""
        return self.url

    def body_for(self, context: RunContext) -> dict[str, Any]:
        """What is posted, in wire form."""
        wire = context.input.to_wire()
        return {**wire, "threadId": context.thread_key} if self.own_threads else wire

    def headers_for(self, context: RunContext) -> httpx.Headers:
        """What the request is sent with."""
        headers = {"accept": "text/event-stream", "content-type": "application/json"}
        headers.update(context.headers)
        own: dict[str, str] = {}
        for name, value in self.headers.items():
            own.setdefault(name.lower(), value)
        # Forwarded values are as the client sent them, which need not be ASCII.
        return httpx.Headers(headers | own, encoding="latin-1")


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of an event stream. Comments and other fields than ``data`` are skipped.

    Raises `RemoteAgentError` for data that is not a JSON object or is larger than
    ``MAX_EVENT_BYTES``.
    """
    buffer = bytearray()
    async for chunk in chunks:
        # A block may end across two chunks; what was searched before need not be searched again.
        searched = max(0, len(buffer) - 3)
        buffer += chunk
        start = 0
        for end in BLOCK_END.finditer(buffer, searched):
            event = _event(bytes(buffer[start : end.start()]))
            start = end.end()
            if event is not None:
                yield event
        del buffer[:start]
        if len(buffer) > MAX_EVENT_BYTES:
            raise RemoteAgentError(f"An event is larger than {MAX_EVENT_BYTES} bytes.")
    event = _event(bytes(buffer))
    if event is not None:
        yield event


def _event(block: bytes) -> dict[str, Any] | None:
    data = b"\n".join(
        line[5:].removeprefix(b" ")
        for line in block.removeprefix(b"\xef\xbb\xbf").splitlines()
        if line.startswith(b"data:")
    )
    if not data:
        return None
    try:
        event = decode(data)
    except ValueError as error:
        raise RemoteAgentError(f"An event is not valid JSON: {error}") from error
    if not isinstance(event, dict):
        raise RemoteAgentError("An event is not a JSON object.")
    return event


async def _text(response: httpx.Response) -> str:
    text = b""
    async for chunk in response.aiter_bytes():
        text += chunk
        if len(text) > ERROR_TEXT_BYTES:
            break
    return text[:ERROR_TEXT_BYTES].decode(errors="replace")


@functools.cache
def tls() -> ssl.SSLContext:
    """The certificates this machine trusts, loaded once."""
    # Loading the certificates takes longer than a whole run of a fast agent.
    return httpx.create_ssl_context()
