"""Messages and state read off a thread's events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilotkit_django.events.compact import compact
from copilotkit_django.events.finalize import finalize
from copilotkit_django.events.order import RunOrder
from copilotkit_django.events.snapshot import messages, response_messages, state

from . import strategies
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
    patch,
    put,
    reasoning,
    snapshot,
)

Event = dict[str, Any]

USER: Event = {"id": "u1", "role": "user", "content": "tools"}
TOOL_RUN = [
    {**STARTED, "input": {"threadId": "t1", "runId": "r1", "messages": [USER]}},
    call(parentMessageId="m1", name="get_weather"),
    args("c1", '{"city":'),
    args("c1", '"Paris"}'),
    called(),
    answer(content='{"temp":21}'),
    opened("m2", role="assistant"),
    delta("m2", "It is "),
    delta("m2", "21 degrees."),
    closed("m2"),
    FINISHED,
]
RESULT: Event = {
    "id": "c1-answer",
    "role": "tool",
    "content": '{"temp":21}',
    "toolCallId": "c1",
}
REPLY: Event = {"id": "m2", "role": "assistant", "content": "It is 21 degrees."}


def a_snapshot(*items: Event) -> Event:
    return {"type": "MESSAGES_SNAPSHOT", "messages": list(items)}


class TestMessages:
    def test_messages__tool_run(self) -> None:
        """User messages come from the run's input, tool calls are flattened."""
        flat_call = {"id": "c1", "name": "get_weather", "args": '{"city":"Paris"}'}

        assert messages(TOOL_RUN) == [
            USER,
            {"id": "m1", "role": "assistant", "toolCalls": [flat_call]},
            RESULT,
            REPLY,
        ]

    def test_messages__late_result(self) -> None:
        """A result stands right behind its call and the results before it."""
        late = [
            *(call("c1", parentMessageId="m1"), called("c1")),
            *(call("c2", parentMessageId="m1"), called("c2")),
            *(opened("m2"), closed("m2")),
            *(answer("c2"), answer("c1")),
        ]

        found = [message["id"] for message in messages(late)]

        assert found == ["m1", "c2-answer", "c1-answer", "m2"]

    def test_messages__text_in_a_message_with_calls(self) -> None:
        """A message may have been created by its tool call."""
        events = [call(parentMessageId="m1"), called(), opened(), delta("m1", "x"), closed()]

        assert messages(events) == [
            {
                "id": "m1",
                "role": "assistant",
                "content": "x",
                "toolCalls": [{"id": "c1", "name": "f", "args": ""}],
            }
        ]

    def test_messages__snapshot(self) -> None:
        """A snapshot replaces messages, removes those it lacks and keeps reasoning."""
        kept = {"id": "r1", "role": "reasoning", "content": "x"}
        events = [
            reasoning("MESSAGE_START", role="reasoning"),
            reasoning("MESSAGE_CONTENT", delta="x"),
            *(opened("gone"), closed("gone")),
            *(opened("m2"), delta("m2", "draft"), closed("m2")),
            a_snapshot(USER, REPLY),
        ]

        assert messages(events) == [kept, REPLY, USER]

    def test_messages__activity(self) -> None:
        """An activity is what its snapshot and patches say; patches that do not fit are skipped."""
        activity = {"messageId": "a1", "activityType": "PLAN"}
        first = {"type": "ACTIVITY_SNAPSHOT", **activity, "content": {"steps": ["a"]}}
        more = {"type": "ACTIVITY_DELTA", **activity, "patch": [put("/steps/-", "b")]}
        bad = {"type": "ACTIVITY_DELTA", **activity, "patch": [put("/no/where", "b")]}

        assert messages([first, more, bad]) == [
            {"id": "a1", "role": "activity", "content": {"steps": ["a", "b"]}}
        ]
        assert first["content"] == {"steps": ["a"]}

    def test_messages__two_runs(self) -> None:
        """A message echoed again is not repeated."""
        assert messages(TOOL_RUN + TOOL_RUN[:1] + [FAILED]) == messages(TOOL_RUN)

    def test_messages__id_used_again(self) -> None:
        """What a later run says under an id replaces what an earlier one said."""
        calling = [call("c1", parentMessageId="m1"), args("c1", "{}"), called("c1")]
        first = [opened("m1"), delta("m1", "may I?"), closed("m1"), *calling, answer("c1")]
        again = [
            *(opened("m1"), delta("m1", "I did"), closed("m1")),
            *(call("c1", parentMessageId="m1", name="g"), args("c1", "[]"), called("c1")),
            answer("c1", content="done"),
        ]

        assert messages([STARTED, *first, FINISHED, STARTED, *again, FINISHED]) == [
            {
                "id": "m1",
                "role": "assistant",
                "content": "I did",
                "toolCalls": [{"id": "c1", "name": "g", "args": "[]"}],
            },
            {**RESULT, "content": "done"},
        ]

    def test_messages__opened_twice(self) -> None:
        """Within one run a message that is opened again goes on."""
        twice = [
            *(opened("m1"), delta("m1", "a"), closed("m1")),
            *(opened("m1"), delta("m1", "b"), closed("m1")),
        ]

        assert messages([STARTED, *twice, FINISHED])[0]["content"] == "ab"

    def test_messages__edited(self) -> None:
        """What the user has edited since stands where it stood."""
        edited = {**USER, "content": "better"}
        second = {**STARTED, "input": {"threadId": "t1", "runId": "r2", "messages": [edited]}}

        assert messages([*TOOL_RUN, second, FINISHED])[0] == edited

    def test_messages__one_id_twice_in_one_input(self) -> None:
        """Messages that came together are all there, whatever their ids."""
        other = {**USER, "content": "more"}
        started = {**STARTED, "input": {"threadId": "t1", "runId": "r1", "messages": [USER, other]}}

        assert messages([started, FINISHED]) == [USER, other]

    @pytest.mark.parametrize("stopped", [True, False])
    def test_messages__added_result(self, stopped: bool) -> None:
        """A result nobody gave, added to end the run, is no message."""
        order = RunOrder()
        for event in (STARTED, call(), called()):
            order.check(event)
        ending = finalize(order, thread_id="t1", run_id="r1", stopped=stopped)

        assert ending[0]["type"] == "TOOL_CALL_RESULT"
        assert [m["role"] for m in messages([STARTED, call(), called(), *ending])] == ["assistant"]

    def test_messages__none(self) -> None:
        """No events are no messages."""
        assert messages([]) == []

    @given(strategies.orderly(st.one_of(strategies.text_events, strategies.reasoning_events)))
    def test_messages__compacted(self, events: list[Event]) -> None:
        """Stored and live events give the same messages."""
        by_id = {message["id"]: message for message in messages(events)}

        assert {message["id"]: message for message in messages(compact(events))} == by_id


class TestResponseMessages:
    def test_response_messages__tool_run(self) -> None:
        """A call of a message that was not streamed is left out, and so is what the user said."""
        assert response_messages(TOOL_RUN) == [RESULT, REPLY]

    def test_response_messages__call_in_a_message(self) -> None:
        """A call goes to the message it names."""
        events = [opened(), closed(), call(parentMessageId="m1"), args("c1", "{}"), called()]

        assert response_messages(events) == [
            {
                "id": "m1",
                "role": "assistant",
                "content": "",
                "toolCalls": [{"id": "c1", "name": "f", "args": "{}"}],
            }
        ]

    def test_response_messages__parts(self) -> None:
        """A result of parts is their text."""
        parts = [
            {"type": "text", "text": "a"},
            {"type": "image", "source": {"type": "url", "value": "u"}},
            {"type": "text", "text": "b"},
        ]

        assert response_messages([answer(content=parts)])[0]["content"] == "ab"

    def test_response_messages__snapshot(self) -> None:
        """The last snapshot is the answer, whatever was streamed."""
        assert response_messages([*TOOL_RUN, a_snapshot(), a_snapshot(USER)]) == [USER]


class TestState:
    def test_state__folded(self) -> None:
        """The state is what snapshots and patches of all runs make of it."""
        events = [
            *(STARTED, snapshot({"n": 0}), patch(put("/n", 1)), FINISHED),
            *(STARTED, opened(), patch(put("/m", 2)), FAILED),
        ]

        assert state(events) == {"n": 1, "m": 2}
        assert state(compact(events)) == {"n": 1, "m": 2}

    @pytest.mark.parametrize("value", [None, 7, "text", ["a"]])
    def test_state__not_an_object(self, value: Any) -> None:
        """A state that is no object is none."""
        assert state([snapshot({"a": 1}), snapshot(value)]) is None

    def test_state__none(self) -> None:
        """A thread without state events has none."""
        assert state(TOOL_RUN) is None

    def test_state__unappliable_patch(self) -> None:
        """Where a patch does not apply the last snapshot is all there is to say."""
        assert state([snapshot({"n": 0}), patch(put("/no/where", 1))]) == {"n": 0}
