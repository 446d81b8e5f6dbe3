"""What tests say to the runtime, and how they read what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

Event = dict[str, Any]
T = TypeVar("T")

#: Longer than anything here takes on a machine that is busy with something else, shorter than the
#: patience of whoever reads a hanging build.
SECONDS = 30.0


def user_message(text: str, id: str = "u1") -> Event:
    return {"id": id, "role": "user", "content": text}


def run_input(
    text: str = "hi", *, thread: str = "t1", run: str = "r1", **fields: Any
) -> dict[str, Any]:
    """A RunAgentInput as the official client sends it; fields of value ``...`` are left out."""
    wire = {
        "threadId": thread,
        "runId": run,
        "messages": [user_message(text, f"u-{run}")],
        "tools": [],
        "context": [],
        "state": {},
        "forwardedProps": {},
        **fields,
    }
    return {key: value for key, value in wire.items() if value is not ...}


def events_in(stream: bytes) -> list[Event]:
    """The events of a complete event stream. Fails on anything that is not framed exactly so."""
    events = []
    for block in stream.split(b"\n\n"):
        if block.startswith(b"data: "):
            events.append(json.loads(block.removeprefix(b"data: ")))
        elif block and not block.startswith(b":"):
            raise AssertionError(f"not a frame of ours: {block!r}")
    if stream and not stream.endswith(b"\n\n"):
        raise AssertionError(f"the stream ends in the middle of a frame: {stream[-80:]!r}")
    return events


def kinds(events: Iterable[Event]) -> list[str]:
    return [event["type"] for event in events]


def text_of(events: Iterable[Event]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "TEXT_MESSAGE_CONTENT")


async def within(awaitable: Awaitable[T], seconds: float = SECONDS) -> T:
    """What ``awaitable`` gives, or TimeoutError."""
    async with asyncio.timeout(seconds):
        return await awaitable


async def collect(reader: AsyncIterator[list[bytes]]) -> list[Event]:
    """All events of a reader, to its end."""

    async def read() -> list[Event]:
        return [json.loads(event) async for batch in reader for event in batch]

    return await within(read())


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop turns until a condition holds that nothing announces."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - that is its subject
            await asyncio.sleep(0.001)
