"""What a client ended up with, in short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

View = Mapping[str, Any]


def shown(view: View) -> list[tuple[str, Any]]:
    """Role and content of each message; for a message of tool calls, their names and arguments."""
    return [(message["role"], _content(message)) for message in view["messages"]]


def _content(message: Mapping[str, Any]) -> Any:
    calls = message.get("toolCalls")
    if not calls:
        return message["content"]
    assert not message.get("content")
    return {call["function"]["name"]: call["function"]["arguments"] for call in calls}


def ends(view: View) -> list[str]:
    """How each run ended: the type of its last event, or the code of its error."""
    return [run.get("code") or run["end"] for run in view["runs"]]


def errors(view: View) -> list[tuple[str, str | None]]:
    """Code of each error, and the code that our server gave it."""
    return [(error["code"], error.get("runtimeCode")) for error in view["errors"]]


def assert_same(live: View, later: Mapping[str, View], what: Sequence[str] = ()) -> None:
    """Whoever opens the thread later sees what was seen live, and every message once."""
    ids = [message["id"] for message in live["messages"]]
    assert len(set(ids)) == len(ids)
    for reader, view in later.items():
        for key in ("messages", "state", *what):
            assert view[key] == live[key], f"{reader} was given other {key}"
