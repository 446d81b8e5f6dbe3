"""Whether a stream of events is one that clients accept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from copilotkit_django.events.order import OrderError, RunOrder
from copilotkit_django.events.wire import InvalidEvent, validate

Event = dict[str, Any]


class BadStream(AssertionError):
    """A client would lose this stream."""


def assert_complete(events: Iterable[Event]) -> None:
    """Every event is valid, stands where it may, and every run has its end."""
    order = RunOrder()
    count = 0
    for count, event in enumerate(events, 1):
        try:
            order.check(validate(event))
        except (InvalidEvent, OrderError) as error:
            raise BadStream(f"event {count}, {str(event)[:300]}: {error}") from error
    if count and not order.finished:
        raise BadStream(f"no terminal event after {count} events")


def types_of(events: Iterable[Event]) -> list[str]:
    return [event["type"] for event in events]
