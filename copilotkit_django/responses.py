"""The two forms an answer has: a JSON object, or a stream of events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from django.http import HttpResponse, StreamingHttpResponse

from copilotkit_django.exceptions import CopilotKitError
from copilotkit_django.runners.log import Batch

KEEP_ALIVE = b": keep-alive\n\n"


class JsonAnswer(HttpResponse):
    """A JSON body. ``null`` values are the caller's business: none are dropped here."""

    def __init__(
        self, data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(
            orjson.dumps(data),
            content_type="application/json",
            status=status,
            headers={"Cache-Control": "no-store", **(headers or {})},
        )


def error_answer(error: CopilotKitError) -> JsonAnswer:
    """The answer for an error of ours that came up before the first byte."""
    return JsonAnswer(error.body(), status=error.status, headers=error.headers)


class EventStreamResponse(StreamingHttpResponse):
    """Server-sent events, one ``data:`` line each, as they come.

    ``batches`` are encoded events; an empty batch becomes a keep-alive comment. Under WSGI, where
    no loop outlives the request, such a response must not be made.
    """

    def __init__(self, batches: AsyncIterator[Batch]) -> None:
        super().__init__(
            frames(batches),
            content_type="text/event-stream",
            headers={
                # no-transform and no buffering: for proxies. An encoding, if only this one, keeps
                # GZipMiddleware from making one gzip member of each chunk.
                "Cache-Control": "no-cache, no-transform",
                "X-Accel-Buffering": "no",
                "Content-Encoding": "identity",
            },
        )


async def frames(batches: AsyncIterator[Batch]) -> AsyncIterator[bytes]:
    """Batches of events as chunks of an event stream."""
    # Some servers (daphne) send no headers before the first chunk, and clients give up on a server
    # whose headers they do not see within ten seconds.
    yield b""
    async with aclosing(batches) as reader:  # type: ignore[type-var]
        async for batch in reader:
            if batch:
                yield b"data: " + b"\n\ndata: ".join(batch) + b"\n\n"
            else:
                yield KEEP_ALIVE


async def single_event(event: Mapping[str, Any]) -> AsyncIterator[Batch]:
    """A stream of one event."""
    yield [orjson.dumps(event)]
