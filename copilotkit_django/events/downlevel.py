"""Forms of AG-UI 1.0 rewritten for clients that did not declare a protocol version.

Such a client is of 0.0.59, which silently ends the stream at a frame it does not know the form of.
"""

from collections.abc import Callable
from typing import Any, Final

from copilotkit_django.events.wire import KNOWN_TYPES, encode

Event = dict[str, Any]

#: The keys of an outcome, beyond which 0.0.59 tolerates none. Other outcomes are of 1.0.
_OUTCOMES: Final = {
    "RUN_FINISHED": {"success": ("type",), "interrupt": ("type", "interrupts")},
    "SUBAGENT_FINISHED": {"success": ("type",), "suspended": ("type", "interruptIds")},
}


def downlevel(event: Event) -> Event | None:
    """Return a valid event as 0.0.59 understands it, the same object if it does; None to drop it.

    Files that only a provider can resolve are left out of messages, lists returned by tools become
    text, and an outcome 0.0.59 lacks is left out, which reads as success.
    """
    rewrite = _REWRITES.get(event["type"])
    if rewrite is not None:
        return rewrite(event)
    return event if event["type"] in KNOWN_TYPES else None


def _replace(event: Event, key: str, value: Any) -> Event:
    return event if value is event[key] else {**event, key: value}


def _outcome(event: Event) -> Event:
    outcome = event.get("outcome")
    if outcome is None:
        return event
    keys = _OUTCOMES[event["type"]].get(outcome["type"])
    if keys is None:
        return {key: value for key, value in event.items() if key != "outcome"}
    if outcome.keys() <= set(keys):
        return event
    known = {key: value for key, value in outcome.items() if key in keys}
    return {**event, "outcome": known}


def _result(event: Event) -> Event:
    return _replace(event, "content", _as_text(event["content"]))


def _snapshot(event: Event) -> Event:
    return _replace(event, "messages", _messages(event["messages"]))


def _started(event: Event) -> Event:
    echo = event.get("input")
    if echo is None:
        return event
    known = _replace(echo, "messages", _messages(echo["messages"]))
    return _replace(event, "input", known)


def _messages(messages: list[Event]) -> list[Event]:
    known = [_message(message) for message in messages]
    if all(new is old for new, old in zip(known, messages, strict=True)):
        return messages
    return known


def _message(message: Event) -> Event:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    if message["role"] == "tool":
        return {**message, "content": _as_text(content)}
    parts = [part for part in content if not _is_file(part)]
    return message if len(parts) == len(content) else {**message, "content": parts}


def _is_file(part: Event) -> bool:
    source = part.get("source")
    return isinstance(source, dict) and source.get("type") == "file"


def _as_text(content: str | list[Event]) -> str:
    if isinstance(content, str):
        return content
    texts = [part["text"] for part in content if part["type"] == "text"]
    return "".join(texts) if texts else encode(content).decode()


_REWRITES: Final[dict[str, Callable[[Event], Event]]] = {
    "RUN_STARTED": _started,
    "RUN_FINISHED": _outcome,
    "SUBAGENT_FINISHED": _outcome,
    "TOOL_CALL_RESULT": _result,
    "MESSAGES_SNAPSHOT": _snapshot,
}
