"""What must hold for any agent and any run, whatever the events."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from copilotkit_django.events.chunks import ChunkExpander
from copilotkit_django.events.compact import compact
from copilotkit_django.events.downlevel import downlevel
from copilotkit_django.events.finalize import finalize
from copilotkit_django.events.order import OrderError, RunOrder
from copilotkit_django.events.wire import InvalidEvent, UnknownEventType, encode, to_wire, validate

from . import strategies
from .reducer import Client

Event = dict[str, Any]


def sent(items: Iterable[Any], *, stopped: bool = False) -> list[Event]:
    """What leaves for what an agent yields: checked, expanded and ended."""
    order, expander, out = RunOrder(), ChunkExpander(), []

    def send(event: Event) -> None:
        for item in (*order.before(event), event):
            order.check(item)
            encode(item)
            out.append(item)

    message = None
    try:
        for item in items:
            try:
                event = validate(to_wire(item))
            except UnknownEventType:
                continue
            for expanded in expander.expand(event):
                send(expanded)
        for expanded in expander.finish():
            send(expanded)
    except (InvalidEvent, OrderError) as error:
        message = str(error)
    for event in finalize(order, thread_id="t1", run_id="r1", stopped=stopped, message=message):
        send(event)
    assert order.finished
    return out


def replay(events: Iterable[Event]) -> RunOrder:
    """Check events that come from a store as a client would."""
    order = RunOrder()
    for event in events:
        order.check(event)
    return order


@given(strategies.agent_output(), st.booleans())
def test_sent__any_agent(items: list[Any], stopped: bool) -> None:
    """Whatever an agent yields, its run leaves in proper order and properly ended."""
    out = sent(items, stopped=stopped)

    assert replay(out).finished
    assert out[-1]["type"] in ("RUN_FINISHED", "RUN_ERROR")


@given(strategies.agent_output())
def test_sent__any_agent_and_old_client(items: list[Any]) -> None:
    """What is left for clients of 0.0.59 is valid, in order, and stays as it is when done again."""
    known = [event for event in map(downlevel, sent(items)) if event is not None]

    assert replay(known).finished
    assert all(validate(event) is event for event in known)
    assert all(downlevel(event) is event for event in known)


@given(strategies.agent_output())
def test_validate__any_agent(items: list[Any]) -> None:
    """Validation changes no event it is given, and nothing in what it returned."""
    for item in items:
        if not isinstance(item, dict):
            continue
        before = copy.deepcopy(item)
        try:
            valid = validate(item)
        except InvalidEvent:
            valid = None
        assert item == before
        if valid is not None:
            assert validate(valid) is valid
            assert b"\n" not in encode(valid)


@given(strategies.agent_output())
def test_encode__any_agent(items: list[Any]) -> None:
    """What a client parses is the event."""
    for event in sent(items):
        assert json.loads(encode(event)) == json.loads(json.dumps(event))


@given(strategies.agent_output())
def test_check__out_of_order(items: list[Any]) -> None:
    """An event refused leaves no trace."""
    order = RunOrder()
    for item in items:
        try:
            event = validate(to_wire(item))
        except InvalidEvent:
            continue
        before = {name: copy.copy(getattr(order, name)) for name in RunOrder.__slots__}
        try:
            order.check(event)
        except OrderError:
            assert before == {name: getattr(order, name) for name in RunOrder.__slots__}


any_run = strategies.orderly(
    strategies.attributed(
        st.one_of(strategies.content_events, strategies.subagent_events, strategies.snapshot_events)
    ).map(strategies.consistent)
)


@given(any_run)
def test_compact__replayed(events: list[Event]) -> None:
    """A compacted stream is in the order verifying clients insist on, as far as it goes."""
    compacted = compact(events)

    assert replay(compacted).finished is replay(events).finished
    assert len(compacted) <= len(events) + 2 * len(strategies.OPEN_IDS)


@given(strategies.agent_output(attributed_well=True), st.booleans())
def test_compact__any_agent(items: list[Any], stopped: bool) -> None:
    """The record of any run is in proper order and properly ended."""
    assert replay(compact(sent(items, stopped=stopped))).finished


@given(any_run)
def test_compact__twice(events: list[Event]) -> None:
    """Compacting what is compact changes nothing."""
    once = compact(events)

    assert compact(once) == once


@given(any_run)
def test_compact__input_untouched(events: list[Event]) -> None:
    """The events given are not changed, so they may be in use elsewhere."""
    before = copy.deepcopy(events)

    compact(events)

    assert events == before


@given(any_run)
def test_compact__meaning(events: list[Event]) -> None:
    """A client ends up with the same messages, tool calls, state and other events."""
    live, replayed = Client().read(events), Client().read(compact(events))

    assert replayed.messages == live.messages
    assert replayed.calls == live.calls
    assert replayed.state == live.state
    assert list(replayed.activities.items()) == list(live.activities.items())
    assert replayed.seen == live.seen


@given(any_run)
def test_compact__run_by_run(events: list[Event]) -> None:
    """Runs compacted one by one and then together are runs compacted together."""
    runs: list[list[Event]] = []
    for event in events:
        if event["type"] == "RUN_STARTED":
            runs.append([])
        runs[-1].append(event)
    if any(event["type"] == "STATE_DELTA" for event in events):
        return  # Alone, a later run does not know the state before it.

    together = [event for run in runs for event in compact(run)]

    assert compact(together) == compact(events)
