"""The two forms an answer has: a JSON object, or a stream of events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from django.http import HttpResponse, StreamingHttpResponse

from copilotkit_django.events.wire import encode
from copilotkit_django.exceptions import CopilotKitError
from copilotkit_django.runners.log import BATCH_BYTES, Batch, pieces

KEEP_ALIVE = b": keep-alive\n\n"

FRAME_END = b"\n\n"


class JsonAnswer(HttpResponse):
    """A JSON body. ``null`` values are the caller's business: none are dropped here."""

    def __init__(
        self, data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(
            encode(data),
            content_type="application/json",
            status=status,
            headers={"Cache-Control": "no-store", **(headers or {})},
        )


def error_answer(error: CopilotKitError) -> JsonAnswer:
    """The answer for an error of ours that came up before the first byte."""
    return JsonAnswer(error.body(), status=error.status, headers=error.headers)


class EventStreamResponse(StreamingHttpResponse):
    """Server-sent events, one ``data:`` line each, as they come.

    ``batches`` are encoded events; an empty batch becomes a keep-alive comment. ``with_ids`` adds
    ``id:`` lines, which only clients that resume are sent. ``outlives_reader`` says that what feeds
    the stream goes on when the client goes away, ``keeps`` that its events may be kept for the
    after middleware. Under WSGI, where no loop outlives the request, such a response must not be
    made.
    """

    def __init__(
        self,
        batches: AsyncIterator[Batch],
        *,
        outlives_reader: bool = True,
        greeting: bytes = b"",
        with_ids: bool = False,
        keeps: bool = True,
    ) -> None:
        self.batches = batches
        self.outlives_reader = outlives_reader
        self.keeps = keeps
        self._greeting = greeting
        self._framed = frame_with_ids if with_ids else frame
        super().__init__(
            frames(batches, greeting, self._framed),
            content_type="text/event-stream",
            headers={
                # no-transform and no buffering: for proxies. An encoding, if only this one, keeps
                # GZipMiddleware from making one gzip member of each chunk.
                "Cache-Control": "no-cache, no-transform",
                "X-Accel-Buffering": "no",
                "Content-Encoding": "identity",
            },
        )

    def follow(self, batches: AsyncIterator[Batch]) -> None:
        """Send these batches instead of those it was made with."""
        self.batches = batches
        self.streaming_content = frames(batches, self._greeting, self._framed)


async def frames(
    batches: AsyncIterator[Batch], greeting: bytes, framed: Callable[[Batch], bytes]
) -> AsyncIterator[bytes]:
    """Batches of events as chunks of an event stream."""
    # Some servers (daphne) send no headers before the first chunk, and clients give up on a server
    # whose headers they do not see within ten seconds.
    yield greeting
    async with aclosing(batches) as reader:  # type: ignore[type-var]
        async for batch in reader:
            if not batch:
                yield KEEP_ALIVE
            for piece in pieces(batch):
                if len(piece[0]) > BATCH_BYTES:
                    for part in _in_parts(piece, framed):
                        yield part
                else:
                    yield framed(piece)


def _in_parts(batch: Batch, framed: Callable[[Batch], bytes]) -> Iterator[bytes]:
    """The frame of one large event, of which no reader needs a copy of its own."""
    event = batch[0]
    frame = framed(Batch([b""], batch.prefix, batch.first))
    yield frame.removesuffix(FRAME_END)
    for start in range(0, len(event), BATCH_BYTES):
        yield event[start : start + BATCH_BYTES]
    yield FRAME_END


def frame(batch: Batch) -> bytes:
    """Events as they stand on the wire: one ``data:`` line each, an empty line behind."""
    return b"data: " + b"\n\ndata: ".join(batch) + b"\n\n"


def frame_with_ids(batch: Batch) -> bytes:
    """The same with an ``id:`` line before each event that has a place to resume from."""
    if not batch.prefix:
        return frame(batch)
    return b"".join(
        b"id: %s%d\ndata: %s\n\n" % (batch.prefix.encode(), number, event)
        for number, event in enumerate(batch, batch.first)
    )


async def single_event(event: Mapping[str, Any]) -> AsyncIterator[Batch]:
    """A stream of one event."""
    yield Batch([orjson.dumps(event)])
