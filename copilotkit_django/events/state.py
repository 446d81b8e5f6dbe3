"""Shared state: folding snapshots and patches into one document."""

import copy
from typing import Any, Final

from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException

Event = dict[str, Any]

#: A document this side cannot know: a patch failed here that may or may not fail in the client.
UNKNOWN: Final = object()


def merge_metadata(earlier: Any, later: Any) -> Any:
    """Merge the metadata of two events key by key, as clients do; the later one wins."""
    if later is None:
        return earlier
    return later if earlier is None else {**earlier, **later}


def fold(base: Any, events: list[Event]) -> Any:
    """Return the document after STATE_SNAPSHOT and STATE_DELTA events, or UNKNOWN.

    ``base`` is the document before them, which is not changed. Nothing is applied before the
    last snapshot, as that replaces everything.
    """
    start = len(events)
    while start and events[start - 1]["type"] != "STATE_SNAPSHOT":
        start -= 1
    if start:
        base = events[start - 1]["snapshot"]
    deltas = events[start:]
    if base is UNKNOWN or not deltas:
        return base
    try:
        # Patches are applied in place, since a copy of the document for each of them would take
        # quadratic time, and to copies, since the document takes over the values in them.
        document = copy.deepcopy(base)
        for event in deltas:
            document = JsonPatch(copy.deepcopy(event["delta"])).apply(document, in_place=True)
    except (
        JsonPatchException,
        JsonPointerException,
        # What the library lets through from documents and patches of unexpected shapes.
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        RecursionError,
    ):
        return UNKNOWN
    return document
