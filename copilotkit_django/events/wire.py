"""Events at the border: into wire form, checked, and out as bytes.

Inside, an event is a ``dict`` with the camelCase keys of its JSON. Nothing here mutates one.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import orjson

from copilotkit_django.events.shapes import Wrong, conform
from copilotkit_django.events.tables import EVENTS

KNOWN_TYPES: Final[frozenset[str]] = frozenset(EVENTS)

#: The events a stream consists of nearly entirely, and the key of the message they belong to.
_DELTAS: Final = {
    "TEXT_MESSAGE_CONTENT": "messageId",
    "TOOL_CALL_ARGS": "toolCallId",
    "REASONING_MESSAGE_CONTENT": "messageId",
}


class InvalidEvent(ValueError):
    """An event of the wrong shape. The text is ours and may be shown to the client."""


class UnknownEventType(InvalidEvent):
    """An event of a type AG-UI does not know; clients lose the stream over one, so drop it."""


def to_wire(event: object) -> dict[str, Any]:
    """Return the wire form of what an agent yielded: a mapping as it is, an AG-UI model dumped."""
    if isinstance(event, dict):
        return event
    if isinstance(event, Mapping):
        return dict(event)
    dump = getattr(event, "model_dump", None)
    if dump is None or isinstance(event, type):
        raise InvalidEvent(
            f"An agent must yield AG-UI events: dicts or models, not {type(event).__name__}."
        )
    try:
        wire = dump(mode="json", by_alias=True)
    except Exception as error:
        raise InvalidEvent(f"{type(event).__name__} cannot be written as JSON.") from error
    if not isinstance(wire, dict):
        raise InvalidEvent(f"{type(event).__name__} is not an AG-UI event.")
    return wire


def validate(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event as clients accept it: the same object, or a repaired copy.

    Repairs: nulls of optional fields are left out (of the event, its messages, tool calls,
    outcomes, interrupts and usage entries); fractional time stamps are cut; the role of a
    reasoning message, the lists of a run's input and null payloads that were left out are filled
    in. The insides of payloads are not looked at.
    """
    kind = event.get("type")
    try:
        id_key = _DELTAS.get(kind)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidEvent("The type of an event must be a string.") from None
    if (
        id_key is not None
        and len(event) == 3
        and type(event.get(id_key)) is str
        and type(event.get("delta")) is str
        and type(kind) is str
    ):
        return event
    if type(kind) is not str:
        if not isinstance(kind, str):
            raise InvalidEvent("The type of an event must be a string.")
        # A member of a string enum, which other code would compare and print in surprising ways.
        kind = str.__str__(kind)
        event = {**event, "type": kind}
    shape = EVENTS.get(kind)
    if shape is None:
        raise UnknownEventType(f"There is no AG-UI event of type {kind[:80]!r}.")
    try:
        return conform(shape, event)  # type: ignore[no-any-return]
    except Wrong as error:
        raise InvalidEvent(f"{kind}: {error.path} {error.problem}.") from None


def encode(event: Any) -> bytes:
    """Return an event (or any JSON value) as compact JSON without line feeds.

    As in JavaScript, NaN and infinities become null, and half a surrogate pair (a delta that
    ends in the middle of an emoji) is escaped so that it reaches the client as it is.
    """
    try:
        return orjson.dumps(event)
    except TypeError:
        # Lone surrogates, integers beyond 64 bits and keys that are not strings: rare, so slow.
        pass
    try:
        return json.dumps(_plain(event), separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        kind = event.get("type", "value") if isinstance(event, dict) else "value"
        raise InvalidEvent(f"{kind}: cannot be written as JSON.") from error


def decode(data: bytes) -> Any:
    """Return the JSON value in what `encode` or somebody else wrote; raises ValueError.

    Half a surrogate pair, which JavaScript escapes like `encode` does, is read as it is.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # Only an escape can be what orjson refuses and other parsers take.
        if b"\\u" not in data:
            raise
    try:
        return json.loads(data.decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _plain(value: Any) -> Any:
    """Copy a value with what orjson writes by itself and ``json`` would refuse written out."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return orjson.loads(orjson.dumps(value))


def _key(key: Any) -> Any:
    if isinstance(key, float) and not math.isfinite(key):
        raise ValueError("not a key")
    return key
