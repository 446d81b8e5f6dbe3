"""What runners keep of a run, and how they give it back."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any

from copilotkit_django.agents.base import RunInput
from copilotkit_django.events.downlevel import downlevel
from copilotkit_django.events.pipeline import without_payloads
from copilotkit_django.events.wire import decode, encode
from copilotkit_django.runners.log import Batch


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
