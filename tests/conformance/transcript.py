"""Turns an exchange into the form the recorded responses have."""

from __future__ import annotations

import json
import re
from typing import Any

from .client import Exchange

#: The headers a client of the protocol can notice.
NOTICED = frozenset(
    {
        "allow",
        "cache-control",
        "content-type",
        "location",
        "retry-after",
        "vary",
        "www-authenticate",
        "x-accel-buffering",
        "x-hooked",
    }
)

HOST = re.compile(r"127\.0\.0\.1:\d+|localhost:\d{4,5}")
ISO_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-9a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
#: The scripts use timestamps of 2023; anything later came from a clock.
CLOCK_STARTS_AT = 1_750_000_000_000


def normalise(value: Any, key: str = "") -> Any:
    """Replace what differs between two runs of the same server by placeholders."""
    match value:
        case dict():
            return {name: normalise(item, name) for name, item in value.items()}
        case list():
            return [normalise(item) for item in value]
        case str():
            if key in {"createdAt", "updatedAt"} and ISO_TIMESTAMP.fullmatch(value):
                return "<iso-timestamp>"
            return UUID.sub("<uuid>", HOST.sub("<host>", value))
        case int() | float() if key == "timestamp" and value > CLOCK_STARTS_AT:
            return "<ms-timestamp>"
    return value


def transcribe(exchange: Exchange) -> dict[str, Any]:
    response: dict[str, Any] = {
        "status": exchange.status,
        "headers": {
            name: value
            for name, value in exchange.headers
            if name in NOTICED or name.startswith("access-control-")
        },
    }
    if exchange.failure:
        response["transport_error"] = "connection ended abnormally"
    if exchange.is_stream:
        response |= stream(exchange)
    else:
        response |= body(exchange)
    return response


def stream(exchange: Exchange) -> dict[str, Any]:
    request = exchange.request
    found: dict[str, Any] = {"sse": normalise(exchange.events[: request.disconnect_after_events])}
    if exchange.comments:
        found["sse_comments"] = exchange.comments[: request.disconnect_after_comments]
    if exchange.bad_frames:
        found["sse_bad_frames"] = exchange.bad_frames
    return found


def body(exchange: Exchange) -> dict[str, Any]:
    text = exchange.content.decode("utf-8", "replace")
    if not text:
        return {"body": None}
    try:
        return {"body": normalise(json.loads(text))}
    except ValueError:
        return {"body_text": normalise(text)}
