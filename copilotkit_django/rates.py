"""The RATE_LIMITS setting: how often a caller may ask for what."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.module_loading import import_string

#: What can be limited, by the names of the operations in the protocol.
OPERATIONS = {
    "agent/run": "run",
    "agent/suggest": "suggest",
    "agent/connect": "connect",
    "agent/stop": "stop",
    "transcribe": "transcribe",
    "info": "info",
}

#: All operations on threads and their lists are limited together.
THREADS = "threads"

#: So is opening websockets, and asking for tickets to them.
WEBSOCKET = "websocket"

NAMES = (*OPERATIONS.values(), THREADS, WEBSOCKET)

#: What django-ratelimit reads: so many, per so many of a unit.
_RATE = re.compile(r"\d+/(?:[1-9]\d*[smhd]?|[smhd])")

#: Whom to count: whoever owns what is asked for, or the address it is asked from.
KEYS = ("owner", "ip")
ACCESSORS = ("header:", "get:")

FORM = "such as '30/m' (per second, minute, hour, day: s, m, h, d; '5/10m': in ten minutes)"


@dataclass(frozen=True, slots=True)
class Rate:
    """One limit. ``rate`` and ``key`` may be callables taking a group and the request."""

    rate: str | Callable[..., Any]
    key: str | Callable[..., Any] = "owner"


def rates_from(value: Any) -> dict[str, tuple[Rate, ...]]:
    """The limits of each operation. Raises `ValueError` with a sentence about what is wrong."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not a mapping of operations to rates.")
    return {_operation(name): tuple(_rates(name, limit)) for name, limit in value.items()}


def operation_of(method: str) -> str | None:
    """The name under which an operation of the protocol is limited, if it can be."""
    family = method.partition("/")[0]
    return family if family in (THREADS, WEBSOCKET) else OPERATIONS.get(method)


def _operation(name: Any) -> str:
    if name not in NAMES:
        close = difflib.get_close_matches(str(name), NAMES, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{name!r} cannot be limited; {', '.join(NAMES)} can.{guess}")
    return str(name)


def _rates(name: str, limit: Any) -> list[Rate]:
    limits = limit if isinstance(limit, (list, tuple)) else [limit]
    return [_rate(name, one) for one in limits]


def _rate(name: str, limit: Any) -> Rate:
    if not isinstance(limit, Mapping):
        return Rate(_rate_of(name, limit))
    if unknown := limit.keys() - {"rate", "key"}:
        names = ", ".join(sorted(map(repr, unknown)))
        raise ValueError(f"{name!r}: {names} is neither 'rate' nor 'key'.")
    if "rate" not in limit:
        raise ValueError(f"{name!r} has no 'rate'.")
    return Rate(_rate_of(name, limit["rate"]), _key_of(name, limit.get("key", "owner")))


def _rate_of(name: str, rate: Any) -> str | Callable[..., Any]:
    if isinstance(rate, str) and "." in rate and "/" not in rate:
        rate = _imported(name, rate)
    if callable(rate):
        found: Callable[..., Any] = rate
        return found
    if not isinstance(rate, str) or not _RATE.fullmatch(rate):
        raise ValueError(f"{name!r}: {rate!r} is no rate {FORM}.")
    return rate


def _key_of(name: str, key: Any) -> str | Callable[..., Any]:
    if isinstance(key, str) and key.startswith(ACCESSORS) and not key.endswith(":"):
        return key
    if isinstance(key, str) and "." in key:
        key = _imported(name, key)
    if callable(key):
        found: Callable[..., Any] = key
        return found
    if key not in KEYS:
        raise ValueError(
            f"{name!r}: the key {key!r} is none of 'owner', 'ip', 'header:x-…', 'get:…' or a "
            "callable."
        )
    return str(key)


def _imported(name: str, path: str) -> Any:
    try:
        return import_string(path)
    except ImportError as error:
        raise ValueError(f"{name!r}: {path!r} cannot be imported: {error}.") from error
