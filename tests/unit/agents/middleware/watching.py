"""What a page makes of a stream: activities built as the official client builds them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import jsonpatch

from copilotkit_django.events.pipeline import Pipeline
from tests.talk import Event


def passes(events: Iterable[Event]) -> None:
    """Fails unless every event is valid, and may stand where it stands."""
    pipeline = Pipeline(lambda data: None, thread_id="t1", run_id="r1")
    for event in events:
        pipeline.feed(event)


def activities(events: Iterable[Event]) -> dict[str, Any]:
    """The content of each activity at the end, by message id.

    Fails on a patch that cannot be applied, or comes before there is anything to patch.
    """
    seen: dict[str, Any] = {}
    for event in events:
        if event["type"] == "ACTIVITY_SNAPSHOT":
            if event.get("replace", True) or event["messageId"] not in seen:
                seen[event["messageId"]] = copy.deepcopy(event["content"])
        elif event["type"] == "ACTIVITY_DELTA":
            content = seen[event["messageId"]]
            seen[event["messageId"]] = jsonpatch.apply_patch(content, event["patch"])
    return seen
