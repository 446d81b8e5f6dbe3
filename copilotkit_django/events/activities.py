"""Activities in compaction: what a page has been shown, as one snapshot where it can be."""

from __future__ import annotations

from typing import Any, Final

Event = dict[str, Any]

_SNAPSHOT: Final = frozenset(("type", "messageId", "activityType", "content", "replace"))
_DELTA: Final = frozenset(("type", "messageId", "activityType", "patch"))


class _Activity:
    """One activity of the run at hand, and the event it is kept in."""

    __slots__ = ("event", "owned")

    def __init__(self, event: Event) -> None:
        self.event = {**event, "content": dict(event["content"])}
        #: The lists in its content that are copies already.
        self.owned: set[str] = set()

    def replace(self, event: Event) -> None:
        self.event.update(event, content=dict(event["content"]))
        self.owned.clear()

    def patch(self, patch: list[Any]) -> bool:
        """Apply a patch that only adds at the top; false, and nothing done, for any other."""
        if len(patch) != 1 or not isinstance(patch[0], dict) or patch[0].get("op") != "add":
            return False
        operation = patch[0]
        path = operation.get("path")
        if not isinstance(path, str) or "value" not in operation or "~" in path:
            return False
        content = self.event["content"]
        match path.split("/"):
            case ["", key] if key:
                content[key] = operation["value"]
                self.owned.discard(key)
            case ["", key, "-"] if isinstance(content.get(key), list):
                if key not in self.owned:
                    self.owned.add(key)
                    content[key] = list(content[key])
                content[key].append(operation["value"])
            case _:
                return False
        return True


class Activities:
    """Folds what is shown in place of something else, or added to it, into what was there first.

    A surface that grows and a page that is being written are sent as hundreds of events, and are
    one thing to whoever comes later.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Activity] = {}

    def take(self, event: Event) -> Event | None:
        """The event to keep for this one, or ``None`` if it is part of one that is kept already.

        What is returned may change until the run is over.
        """
        known = self._known.get(event["messageId"])
        if event["type"] == "ACTIVITY_SNAPSHOT":
            if _SNAPSHOT.issuperset(event) and event.get("replace", True):
                if known is not None:
                    known.replace(event)
                    return None
                known = self._known[event["messageId"]] = _Activity(event)
                return known.event
        elif known is not None and _DELTA.issuperset(event):
            kind = known.event["activityType"]
            if event["activityType"] == kind and known.patch(event["patch"]):
                return None
        # Something else: what comes after it cannot be put before it.
        self._known.pop(event["messageId"], None)
        return event

    def forget(self) -> None:
        """A boundary that nothing may be moved across."""
        self._known.clear()
