"""The order events may come in."""

from __future__ import annotations

import re
from typing import Any

import pytest

from copilotkit_django.events.order import OrderError, RunOrder

from .builders import (
    FAILED,
    FINISHED,
    STARTED,
    answer,
    args,
    call,
    called,
    closed,
    custom,
    delta,
    opened,
    reasoning,
    step,
    subagent,
)

Event = dict[str, Any]


def after(*events: Event) -> RunOrder:
    order = RunOrder()
    for event in events:
        order.check(event)
    return order


class TestCheck:
    @pytest.mark.parametrize(
        "events",
        [
            [STARTED, FINISHED],
            [FAILED],
            [FAILED, STARTED, FINISHED],
            [STARTED, FINISHED, FAILED, STARTED],
            [STARTED, FINISHED, STARTED, FINISHED],
            [STARTED, opened(), delta("m1", "x"), FAILED, STARTED, opened()],
            [STARTED, opened("a"), opened("b"), closed("a"), closed("b"), FINISHED],
            [STARTED, opened(), call(), closed(), called(), FINISHED],
            [STARTED, opened(), closed(), opened(), closed(), FINISHED],
            [STARTED, answer("never-called"), FINISHED],
            [STARTED, call(), answer(), called(), FINISHED],
            [STARTED, step("STARTED"), step("STARTED", subagentRunId="s1"), step("FINISHED")],
            # Several producers give a span and the message in it one id.
            [
                STARTED,
                reasoning("START"),
                reasoning("MESSAGE_START"),
                reasoning("MESSAGE_END"),
                reasoning("END"),
                FINISHED,
            ],
            [
                STARTED,
                subagent("STARTED", name="a"),
                opened(subagentRunId="s1"),
                delta("m1", "x"),
                subagent("FINISHED"),
                delta("m1", "x", subagentRunId="s1"),
                closed(),
                FINISHED,
            ],
        ],
    )
    def test_check__in_order(self, events: list[Event]) -> None:
        """Streams the official verifiers accept are accepted."""
        after(*events)

    @pytest.mark.parametrize(
        ("events", "problem"),
        [
            ([opened()], "before RUN_STARTED"),
            ([FINISHED], "before RUN_STARTED"),
            ([STARTED, STARTED], "while a run is open"),
            ([STARTED, FINISHED, custom("late")], "after RUN_FINISHED"),
            ([STARTED, FINISHED, FINISHED], "after RUN_FINISHED"),
            ([STARTED, FAILED, FAILED], "after RUN_ERROR"),
            ([STARTED, opened(), FAILED, delta("m1", "x")], "after RUN_ERROR"),
            ([STARTED, delta("m1", "x")], "not open"),
            ([STARTED, closed()], "not open"),
            ([STARTED, opened(), opened()], "open already"),
            ([STARTED, opened(), closed(), delta("m1", "x")], "not open"),
            ([STARTED, args("c1", "x")], "not open"),
            ([STARTED, called()], "not open"),
            ([STARTED, call(), call()], "open already"),
            ([STARTED, opened(), FINISHED], "text messages are open: 'm1'"),
            ([STARTED, call(), FINISHED], "tool calls are open: 'c1'"),
            ([STARTED, step("STARTED"), FINISHED], "steps are open: 'plan'"),
            ([STARTED, step("STARTED"), step("STARTED")], "open already"),
            ([STARTED, step("STARTED"), step("FINISHED", subagentRunId="s1")], "not open"),
            ([STARTED, reasoning("MESSAGE_CONTENT", delta="x")], "not open"),
            ([STARTED, reasoning("START"), reasoning("MESSAGE_END")], "not open"),
            ([STARTED, reasoning("START"), reasoning("START")], "open already"),
            ([STARTED, reasoning("START"), FINISHED], "reasoning spans are open: 'r1'"),
            ([STARTED, subagent("FINISHED")], "not open"),
            ([STARTED, subagent("STARTED", name="a"), FINISHED], "subagents are open: 's1'"),
            ([STARTED, *[subagent("STARTED", name="a")] * 2], "open already"),
            (
                [
                    *(STARTED, subagent("STARTED", name="a"), subagent("FINISHED")),
                    subagent("STARTED", name="a"),
                ],
                "has ended in this run",
            ),
            (
                [STARTED, subagent("STARTED", name="a", parentSubagentRunId="s0")],
                "there is no subagent 's0'",
            ),
            ([STARTED, opened(), delta("m1", "x", subagentRunId="s1")], "does not belong"),
            ([STARTED, opened(subagentRunId="s1"), closed(subagentRunId="s2")], "does not belong"),
            (
                [STARTED, opened(), call(parentMessageId="m1", subagentRunId="s1")],
                "'m1' does not belong to subagent 's1'",
            ),
        ],
    )
    def test_check__out_of_order(self, events: list[Event], problem: str) -> None:
        """The first event a verifier refuses is refused, and nothing before it."""
        order = after(*events[:-1])

        with pytest.raises(OrderError, match=problem):
            order.check(events[-1])

    def test_check__owner_from_history(self) -> None:
        """Messages echoed in the run's input belong to whom they name."""
        history = [{"id": "m1", "role": "assistant", "subagentRunId": "s1"}]
        order = after({**STARTED, "input": {"messages": history}}, opened())

        with pytest.raises(OrderError, match="does not belong"):
            order.check(delta("m1", "x", subagentRunId="s2"))

    def test_check__long_list(self) -> None:
        """The text of an error does not grow with the run."""
        order = after(STARTED, *(opened(f"m{n}") for n in range(1000)))

        with pytest.raises(OrderError, match=re.escape("'m0', 'm1', 'm2', 'm3', 'm4'.")):
            order.check(FINISHED)


class TestState:
    def test_state__run(self) -> None:
        """What is open is known by id, in the order of the starts."""
        order = after(STARTED, opened("b"), opened("a"), call("c1"), call("c2"), called("c2"))

        assert order.started
        assert not order.finished
        assert order.texts == {"b": opened("b"), "a": opened("a")}
        assert list(order.tool_calls) == ["c1"]
        assert list(order.calls) == ["c1", "c2"]

    def test_state__answered_calls(self) -> None:
        """A call is done with once it has both its end and its result, in any order."""
        order = after(STARTED, call("c1"), answer("c1"), call("c2"), called("c2"), answer("c2"))

        assert list(order.calls) == ["c1"]
        assert order.answered == {"c1"}
        order.check(called("c1"))
        assert not order.calls
        assert not order.answered

    @pytest.mark.parametrize("end", [FAILED, FINISHED])
    def test_state__ended(self, end: Event) -> None:
        """After a terminal event nothing is open, until the next run starts."""
        order = after(STARTED, call(), called())
        order.check(end)

        assert order.finished
        assert not order.calls
        order.check(STARTED)
        assert not order.finished


class TestBefore:
    def test_before__run_finished(self) -> None:
        """Open reasoning, which clients of 0.0.59 do not mind, is closed before the run ends."""
        order = after(STARTED, reasoning("START", "s"), reasoning("MESSAGE_START", "r"))
        expected = [reasoning("MESSAGE_END", "r"), reasoning("END", "s")]

        assert order.before(FINISHED) == expected
        assert order.closing_events() == expected
        for event in (*expected, FINISHED):
            order.check(event)

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            (
                reasoning("MESSAGE_CONTENT", delta="x", subagentRunId="s1"),
                [reasoning("MESSAGE_START", role="reasoning", subagentRunId="s1")],
            ),
            (reasoning("MESSAGE_END"), [reasoning("MESSAGE_START", role="reasoning")]),
            (reasoning("END"), [reasoning("START")]),
            (reasoning("START"), []),
            (reasoning("MESSAGE_START"), []),
            (delta("m1", "x"), []),
        ],
    )
    def test_before__never_opened(self, event: Event, expected: list[Event]) -> None:
        """Reasoning that was never opened is opened."""
        assert after(STARTED).before(event) == expected

    def test_before__opened_twice(self) -> None:
        """Reasoning that starts anew is closed first."""
        order = after(STARTED, reasoning("START"), reasoning("MESSAGE_START"))

        assert order.before(reasoning("START")) == [reasoning("END")]
        assert order.before(reasoning("MESSAGE_START")) == [reasoning("MESSAGE_END")]

    def test_before__outside_a_run(self) -> None:
        """Nothing is repaired where the event is refused anyway."""
        assert RunOrder().before(reasoning("END")) == []
        assert after(STARTED, FINISHED).before(FINISHED) == []
