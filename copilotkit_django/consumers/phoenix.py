"""The Phoenix V2 serializer, as far as the official client uses it: JSON arrays in text frames."""

from __future__ import annotations

from typing import Any, NamedTuple

from copilotkit_django.events.inputs import InvalidInput, parse_json
from copilotkit_django.events.wire import encode

#: The topic of the socket itself, for heartbeats.
SOCKET_TOPIC = "phoenix"


class NotPhoenix(ValueError):
    """A frame that is no message of this protocol."""


class Message(NamedTuple):
    """A message: ``join_ref`` names the join it belongs to, ``ref`` is what a reply repeats."""

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Any


def parse(text: str | None) -> Message:
    """Read a frame. Raises `NotPhoenix`."""
    if text is None:
        raise NotPhoenix
    try:
        value = parse_json(text.encode(errors="surrogatepass"))
    except InvalidInput:
        raise NotPhoenix from None
    if not isinstance(value, list) or len(value) != len(Message._fields):
        raise NotPhoenix
    message = Message(*value)
    refs, names = message[:2], message[2:4]
    if not all(ref is None or isinstance(ref, str) for ref in refs):
        raise NotPhoenix
    if not all(isinstance(name, str) for name in names):
        raise NotPhoenix
    return message


def reply(to: Message, response: dict[str, Any], *, status: str = "ok") -> bytes:
    """The frame that answers a message."""
    payload = {"status": status, "response": response}
    return encode([to.join_ref, to.ref, to.topic, "phx_reply", payload])


def push(join_ref: str | None, topic: str, event: str, payload: dict[str, Any]) -> bytes:
    """A frame nobody has asked for."""
    return encode([join_ref, None, topic, event, payload])
