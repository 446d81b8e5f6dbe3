"""The ending of a run that did not end itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from copilotkit_django.events.finalize import finalize
from copilotkit_django.events.order import RunOrder

from .builders import (
    FAILED,
    FINISHED,
    STARTED,
    answer,
    args,
    call,
    called,
    closed,
    delta,
    opened,
    reasoning,
    step,
    subagent,
)

Event = dict[str, Any]


def ending(*events: Event, stopped: bool = False, **options: Any) -> list[Event]:
    """What finalize adds to a stream; fails if that is not in order."""
    order = RunOrder()
    for event in events:
        order.check(event)
    added = finalize(order, thread_id="t1", run_id="r1", stopped=stopped, **options)
    for event in added:
        order.check(event)
    return added


class TestFinalize:
    @pytest.mark.parametrize("end", [FINISHED, FAILED])
    @pytest.mark.parametrize("stopped", [True, False])
    def test_finalize__ended(self, end: Event, stopped: bool) -> None:
        """A run that ended itself gets nothing."""
        assert ending(STARTED, end, stopped=stopped) == []

    def test_finalize__no_end(self) -> None:
        """A run that just stops sending ends with an error, its text closed."""
        assert ending(STARTED, opened(), delta("m1", "x")) == [
            closed(),
            {
                "type": "RUN_ERROR",
                "message": "Run ended without emitting a terminal event",
                "code": "INCOMPLETE_STREAM",
            },
        ]

    def test_finalize__nothing_sent(self) -> None:
        """A run that failed before its first event is one error."""
        assert ending(message="boom", code="FAILED") == [
            {"type": "RUN_ERROR", "message": "boom", "code": "FAILED"}
        ]

    def test_finalize__stopped(self) -> None:
        """A stopped run finishes, with the ids every client insists on."""
        assert ending(STARTED, opened(), stopped=True) == [closed(), FINISHED]

    def test_finalize__stopped_before_start(self) -> None:
        """A run stopped before its first event is started, since no client takes an end alone."""
        assert ending(stopped=True) == [STARTED, FINISHED]

    def test_finalize__tool_open(self) -> None:
        """A tool call that is still being written is ended and answered."""
        assert ending(STARTED, call(), args("c1", "{"), message="boom") == [
            called(),
            {
                "type": "TOOL_CALL_RESULT",
                "toolCallId": "c1",
                "messageId": "c1-result",
                "role": "tool",
                "content": '{"status":"error","reason":"missing_terminal_event","message":"boom"}',
            },
            {"type": "RUN_ERROR", "message": "boom", "code": "INCOMPLETE_STREAM"},
        ]

    def test_finalize__tool_open_and_stopped(self) -> None:
        """The answer of a stopped tool call says so."""
        content = '{"status":"stopped","reason":"stop_requested","message":"Run stopped by user"}'

        end, result, finish = ending(STARTED, call(), stopped=True)

        assert end == called()
        assert result["content"] == content
        assert finish == FINISHED

    def test_finalize__tools_in_all_states(self) -> None:
        """A call gets what it lacks, in the order the calls were started."""
        added = ending(
            STARTED,
            call("done"),
            called("done"),
            answer("done"),
            call("ended"),
            called("ended"),
            call("answered"),
            answer("answered"),
            call("open"),
        )

        assert [(event["type"], event.get("toolCallId")) for event in added[:-1]] == [
            ("TOOL_CALL_RESULT", "ended"),
            ("TOOL_CALL_END", "answered"),
            ("TOOL_CALL_END", "open"),
            ("TOOL_CALL_RESULT", "open"),
        ]

    def test_finalize__awkward_message(self) -> None:
        """A message of any text makes JSON any client can read."""
        text = 'say "né"\n\ud83d'

        (_, result, _) = ending(STARTED, call(), message=text)

        assert json.loads(result["content"])["message"] == text

    @pytest.mark.parametrize("stopped", [True, False])
    def test_finalize__everything_open(self, stopped: bool) -> None:
        """Everything is closed from the inside out."""
        added = ending(
            STARTED,
            step("STARTED", "outer"),
            subagent("STARTED", "s1", name="a"),
            subagent("STARTED", "s2", name="b", parentSubagentRunId="s1"),
            step("STARTED", "inner", subagentRunId="s2"),
            reasoning("START"),
            reasoning("MESSAGE_START"),
            opened("m1", subagentRunId="s2"),
            call("c1", subagentRunId="s2"),
            stopped=stopped,
            message="why",
        )

        assert added[:2] == [closed(), called()]
        assert added[2]["subagentRunId"] == "s2"
        assert added[3:-1] == [
            reasoning("MESSAGE_END"),
            reasoning("END"),
            step("FINISHED", "inner", subagentRunId="s2"),
            step("FINISHED", "outer"),
            subagent("ERROR", "s2", message="why"),
            subagent("ERROR", "s1", message="why"),
        ]
        assert added[-1]["type"] == ("RUN_FINISHED" if stopped else "RUN_ERROR")

    def test_finalize__snapshot_gave_message_away(self) -> None:
        """A message that changed hands while it was written is still closed properly."""
        snapshot = {"type": "MESSAGES_SNAPSHOT", "messages": [{"id": "m1", "role": "assistant"}]}

        assert ending(STARTED, opened(subagentRunId="s1"), snapshot)[0] == closed()

    def test_finalize__order_untouched(self) -> None:
        """The order is only read: what is added may still be held back or refused."""
        order = RunOrder()
        order.check(STARTED)
        order.check(opened())

        finalize(order, thread_id="t1", run_id="r1", stopped=True)

        assert order.texts == {"m1": opened()}
        assert not order.finished
