"""What runners keep of a run, and how they give it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents.base import RunInput
from copilotkit_django.events.downlevel import downlevel
from copilotkit_django.events.pipeline import without_payloads
from copilotkit_django.events.wire import decode, encode
from copilotkit_django.runners.log import MAX_BATCH, START, Batch, Cursor

if TYPE_CHECKING:
    from copilotkit_django.runners.task import RunTask


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run that is over, as a runner may keep it. Can be pickled."""

    #: That of the `RunTask` it is the record of.
    id: str
    #: Compacted and encoded.
    events: list[bytes]
    #: Messages the run has sent or was sent; further runs of the thread do not echo them.
    message_ids: frozenset[str]
    #: Its client declared protocol 1.0.
    modern: bool = False


def message_ids(events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Ids of the messages a run has sent or was sent: not to be echoed again."""
    for event in events:
        message_id = event.get("messageId")
        if isinstance(message_id, str):
            yield message_id
        if event["type"] == "RUN_STARTED" and isinstance(event.get("input"), dict):
            for message in event["input"]["messages"]:
                yield message["id"]


def lowered(batch: Batch) -> Batch:
    """Events a client with protocol 1.0 was sent, for one that did not declare it.

    Runs hold no event of a type the older protocol does not have, so each keeps its place.
    """
    known = [downlevel(decode(event)) for event in batch]
    events = [encode(event) for event in known if event is not None]
    return Batch(events, batch.prefix, batch.first)


def reset_marker(position: int) -> bytes:
    """Tells a reader that resumes to forget what it has of a run: it is sent from its start."""
    return encode({"type": "CUSTOM", "name": "copilotkit.reset", "value": position})


def stored_input(run_input: RunInput, seen: Container[str]) -> bytes:
    """The echo of a run as history keeps it: its messages that are new to the thread."""
    wire = run_input.to_wire()
    new = [message for message in wire["messages"] if message["id"] not in seen]
    return encode(without_payloads({**wire, "messages": new}))


async def replay(
    records: Iterable[RunRecord],
    live: RunTask | None,
    *,
    idle: float | None = None,
    modern: bool = False,
    after: Cursor | None = None,
) -> AsyncIterator[Batch]:
    """The reader of `AgentRunner.connect`: runs that are over, then the live one to its end.

    Look up ``live`` before you fetch the records: the record of a run that ended in between is
    left out, and the run is read from its log. Such a reader gives no places to resume from, so
    one that wants to go on from a place is sent a reset marker and everything.
    """
    if after is not None and after != START:
        yield Batch([reset_marker(0)])
    batch = Batch()
    for record in records:
        if live is not None and record.id == live.id:
            continue
        events = Batch(record.events)
        batch += lowered(events) if record.modern and not modern else events
        if len(batch) >= MAX_BATCH:
            yield batch
            await asyncio.sleep(0)
            batch = Batch()
    if batch:
        yield batch
    if live is not None:
        is_modern = live.request.input.protocol_version is not None
        async for news in live.log.read(idle=idle):
            yield lowered(news) if is_modern and not modern else news
