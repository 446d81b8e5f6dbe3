"""Ending runs whose process is gone."""

from __future__ import annotations

import logging
from typing import Any

from copilotkit_django.events.compact import Compactor
from copilotkit_django.events.finalize import finalize
from copilotkit_django.events.order import OrderError, RunOrder
from copilotkit_django.events.pipeline import as_stored
from copilotkit_django.events.wire import decode, encode
from copilotkit_django.runners.history import message_ids
from copilotkit_django.runners.store import DeadRun, Store, lines
from copilotkit_django.runners.writer import DATA_ERRORS
from copilotkit_django.runners.writes import Append, Finish, Status

logger = logging.getLogger("copilotkit.store")

#: What the conversation says of such a run.
LOST_MESSAGE = "The server was interrupted during this answer."

#: What readers of a run are told when it lost its thread.
TAKEN_MESSAGE = "This conversation was taken over or deleted elsewhere."


def reap(store: Store, key: str, *, spare: str | None = None) -> int | None:
    """End the run of a thread whose lease ran out, in one transaction; returns the run.

    Everything that was written is kept; what was open is closed, and a ``RUN_ERROR`` follows. A
    run that was lost before its first event keeps what the user said. ``None`` if the lease has not
    run out, somebody was quicker, or ``spare`` holds it. Call it where writes are allowed.
    """
    try:
        return _reap(store, key, spare=spare)
    except DATA_ERRORS:
        # The thread must come free whatever the run has left behind.
        logger.exception("What a run has left behind cannot be stored; it is ended without it.")
        return _reap(store, key, spare=spare, bare=True)


def _reap(store: Store, key: str, *, spare: str | None, bare: bool = False) -> int | None:
    with store.transaction():
        dead = store.dead_run(key, spare=spare)
        if dead is None:
            return None
        raw = [
            event for _, _, _, data in store.segments([(dead.pk, 0)]) for event in data.split(b"\n")
        ]
        events = [] if bare else [decode(event) for event in raw]
        echo = decode(dead.input)
        endings = _endings(events, echo)
        compacted = _compacted([*events, *endings])
        tail = [encode(event) for event in (endings[-1:] if bare and raw else endings)]
        store.write(
            [
                Finish(
                    key=key,
                    thread=dead.thread,
                    run=dead.pk,
                    position=dead.position,
                    agent_id=dead.agent_id,
                    status=Status.LOST,
                    error=LOST_MESSAGE,
                    usage=None,
                    event_count=len(raw) + len(tail),
                    kept_count=len(raw),
                    compacted=lines(compacted),
                    message_ids=list(message_ids(compacted)),
                    tail=_appends(dead, key, len(raw), tail),
                )
            ]
        )
        return dead.pk


def _appends(dead: DeadRun, key: str, first: int, events: list[bytes]) -> list[Append]:
    if not events:
        return []
    last = first + len(events) - 1
    data = b"\n".join(events)
    return [Append(key, dead.thread, dead.pk, dead.position, first, last, data)]


def _endings(events: list[dict[str, Any]], echo: dict[str, Any]) -> list[dict[str, Any]]:
    """What a reader of the events so far has to be sent for a proper end."""
    order = _order_of(events)
    started = []
    if not order.started:
        ids = {"threadId": echo["threadId"], "runId": echo["runId"]}
        started = [{"type": "RUN_STARTED", **ids, "input": echo}]
    return [
        *started,
        *finalize(
            order,
            thread_id=echo["threadId"],
            run_id=echo["runId"],
            stopped=False,
            message=LOST_MESSAGE,
        ),
    ]


def taken_endings(events: list[bytes]) -> list[bytes]:
    """What readers of a run that is no longer part of any history are sent for a proper end."""
    order = _order_of([decode(event) for event in events])
    return [
        encode(event)
        for event in finalize(
            order,
            thread_id="",
            run_id="",
            stopped=False,
            message=TAKEN_MESSAGE,
            code="THREAD_TAKEN",
        )
    ]


def _order_of(events: list[dict[str, Any]]) -> RunOrder:
    order = RunOrder()
    for event in events:
        try:
            order.check(event)
        except OrderError:
            # Written by us in this order; a form of 1.0 brought down a level may still look odd.
            continue
    return order


def _compacted(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sent = events[0].get("input") if events else None
    compactor = Compactor(sent.get("state") if isinstance(sent, dict) else None)
    for event in events:
        compactor.add(as_stored(event))
    return compactor.finish()
