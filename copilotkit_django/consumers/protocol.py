"""The frames of the connect socket: what clients may send, and the bytes of what they are sent.

The reference is docs/reference/websocket.md. Events are put into frames as the bytes they were
stored as.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from copilotkit_django.events.inputs import InvalidInput, parse_json
from copilotkit_django.events.wire import encode
from copilotkit_django.runners.log import Batch

#: The version of this protocol, told in the first frame.
VERSION = 1

MAX_ID_LENGTH = 64

#: The fields of each command: name, type, and whether it has to be there.
FIELDS: Mapping[str, Mapping[str, tuple[type, bool]]] = {
    "connect": {"id": (str, True), "threadId": (str, True), "after": (str, False)},
    "run": {"id": (str, True), "input": (dict, True)},
    "stop": {"id": (str, True), "threadId": (str, True), "runId": (str, False)},
    "leave": {"id": (str, True)},
    "ping": {"id": (str, False)},
    "ack": {"frame": (int, True)},
}

KINDS = {str: "a text", dict: "an object", int: "a whole number"}


class Malformed(ValueError):
    """What was sent is no command at all: not text, not JSON, not an object."""


class InvalidCommand(ValueError):
    """A command that cannot be understood; ``id`` is its own, if it has told a usable one."""

    def __init__(self, message: str, command_id: str | None = None) -> None:
        super().__init__(message)
        self.id = command_id


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it was sent, its fields of the right types."""

    type: str
    fields: Mapping[str, Any]

    @property
    def id(self) -> str:
        """What the client calls it; empty for those that need no answer."""
        return str(self.fields.get("id", ""))


def parse(text: str | None) -> Command:
    """Read a frame. Raises `Malformed` and `InvalidCommand`."""
    if text is None:
        raise Malformed("Only text frames are understood.")
    try:
        value = parse_json(text.encode(errors="surrogatepass"))
    except InvalidInput:
        raise Malformed("The frame is not JSON.") from None
    if not isinstance(value, dict):
        raise Malformed("The frame is not a JSON object.")
    known = value.get("id")
    command_id = known if _is_id(known) else None
    kind = value.get("type")
    fields = FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise InvalidCommand(f"'type' is none of {', '.join(FIELDS)}.", command_id)
    for name, (wanted, needed) in fields.items():
        found = value.get(name)
        if found is None and not needed:
            continue
        if not isinstance(found, wanted) or isinstance(found, bool):
            raise InvalidCommand(f"'{name}' must be {KINDS[wanted]}.", command_id)
    if "id" in fields and known is not None and command_id is None:
        raise InvalidCommand(f"'id' must be 1 to {MAX_ID_LENGTH} characters.")
    given = {name: value[name] for name in fields if value.get(name) is not None}
    return Command(str(kind), given)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and value.isprintable()


def frame(kind: str, command_id: str | None = None, **fields: Any) -> bytes:
    """A frame that is not made of events; fields that are ``None`` are left out."""
    told = {"type": kind, "id": command_id, **fields}
    return encode({name: value for name, value in told.items() if value is not None})


def events_frame(number: int, command_id: str, batch: Batch) -> bytes:
    """A frame of all events of a batch, as they are, with the cursor of the last one."""
    head: dict[str, Any] = {"type": "events", "id": command_id, "frame": number}
    if batch.prefix:
        head["cursor"] = f"{batch.prefix}{batch.first + len(batch) - 1}"
    return encode(head)[:-1] + b',"events":[' + b",".join(batch) + b"]}"
