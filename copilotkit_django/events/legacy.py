"""The THINKING events that AG-UI had before its REASONING events."""

from typing import Any, Final
from uuid import uuid4

Event = dict[str, Any]

#: What each becomes, and whether it is about the span or a message in it.
_TYPES: Final = {
    "THINKING_START": ("REASONING_START", "span"),
    "THINKING_TEXT_MESSAGE_START": ("REASONING_MESSAGE_START", "message"),
    "THINKING_TEXT_MESSAGE_CONTENT": ("REASONING_MESSAGE_CONTENT", "message"),
    "THINKING_TEXT_MESSAGE_END": ("REASONING_MESSAGE_END", "message"),
    "THINKING_END": ("REASONING_END", "span"),
}

LEGACY_TYPES: Final[frozenset[str]] = frozenset(_TYPES)


class ThinkingTranslator:
    """Turns the THINKING events of one run, which have no ids, into REASONING events.

    Put it before validation; what is out of order stays so.
    """

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def translate(self, event: Event) -> Event:
        """Return the event that stands for a legacy one; any other is returned as it is."""
        kind = event.get("type")
        found = _TYPES.get(kind) if isinstance(kind, str) else None
        if found is None:
            return event
        kind, what = found
        if kind.endswith("_START") or what not in self._ids:
            self._ids[what] = str(uuid4())
        # 0.0.x had the title of a span, which nothing shows any more.
        rest = {key: value for key, value in event.items() if key not in ("title", "role")}
        return {**rest, "type": kind, "messageId": self._ids[what]}
