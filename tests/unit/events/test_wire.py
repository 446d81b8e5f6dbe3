"""Events at the border: what is accepted, repaired, refused, and how it is written."""

from __future__ import annotations

import enum
import json
import types
from typing import Any

import pytest
from ag_ui.core import (
    CustomEvent,
    RunFinishedEvent,
    TextMessageContentEvent,
    TextMessageStartEvent,
)

from copilotkit_django.events.wire import (
    KNOWN_TYPES,
    InvalidEvent,
    UnknownEventType,
    encode,
    to_wire,
    validate,
)

Event = dict[str, Any]


def message(role: str, **fields: Any) -> Event:
    return {"type": "MESSAGES_SNAPSHOT", "messages": [{"id": "m1", "role": role, **fields}]}


def started(**fields: Any) -> Event:
    echo = {"threadId": "t1", "runId": "r1", "messages": [], "tools": [], "context": [], **fields}
    return {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1", "input": echo}


def finished(**fields: Any) -> Event:
    return {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1", **fields}


def result(content: Any) -> Event:
    return {
        "type": "TOOL_CALL_RESULT",
        "messageId": "t",
        "toolCallId": "c",
        "content": content,
    }


DELTA: Event = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "x"}
CALL: Event = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FILE: Event = {"type": "document", "source": {"type": "file", "value": "f", "provider": "p"}}
BINARY: Event = {"type": "binary", "mimeType": "a/b", "data": "AA=="}


class TestToWire:
    def test_to_wire__dict(self) -> None:
        """A dict is taken as it is, without a copy."""
        assert to_wire(DELTA) is DELTA

    def test_to_wire__mapping(self) -> None:
        """Another mapping becomes a dict."""
        assert to_wire(types.MappingProxyType(DELTA)) == DELTA

    def test_to_wire__model(self) -> None:
        """A model is dumped by its JSON names, and validation drops what it leaves empty."""
        event = TextMessageContentEvent(message_id="m1", delta="x")

        assert validate(to_wire(event)) == DELTA

    def test_to_wire__model_with_required_null(self) -> None:
        """A null that is the value of a custom event is sent."""
        event = CustomEvent(name="n", value=None)

        assert validate(to_wire(event)) == {"type": "CUSTOM", "name": "n", "value": None}

    def test_to_wire__model_of_start_and_end(self) -> None:
        """Models of events with a role and with ids come out in full."""
        start = TextMessageStartEvent(message_id="m1", role="assistant")
        end = RunFinishedEvent(thread_id="t1", run_id="r1")

        assert validate(to_wire(start)) == {
            "type": "TEXT_MESSAGE_START",
            "messageId": "m1",
            "role": "assistant",
        }
        assert validate(to_wire(end)) == finished()

    @pytest.mark.parametrize("item", [None, "text", 7, b"{}", object(), TextMessageStartEvent, []])
    def test_to_wire__no_event(self, item: object) -> None:
        """Anything else is refused in words that name its kind and not its content."""
        with pytest.raises(InvalidEvent, match=f"not {type(item).__name__}"):
            to_wire(item)


class TestValidateAccepts:
    @pytest.mark.parametrize(
        "event",
        [
            DELTA,
            {**DELTA, "delta": ""},
            {**DELTA, "timestamp": 1700000000000, "metadata": {"k": None}, "subagentRunId": "s"},
            {**DELTA, "extra": {"deep": [None, True]}, "foo": None},
            {**DELTA, "rawEvent": {"nested": None}},
            {"type": "STATE_SNAPSHOT", "snapshot": None},
            {"type": "STATE_SNAPSHOT", "snapshot": {"a": None, "b": [None]}},
            {"type": "STATE_DELTA", "delta": []},
            {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/a~1b", "value": None}]},
            {"type": "STATE_DELTA", "delta": [{"op": "remove", "path": "", "value": 1}]},
            {"type": "STATE_DELTA", "delta": [{"op": "move", "path": "/a", "from": "/b"}]},
            {"type": "CUSTOM", "name": "n", "value": None},
            {"type": "RAW", "event": None},
            {"type": "TEXT_MESSAGE_CHUNK"},
            {"type": "RUN_ERROR", "message": "m", "threadId": "t1", "runId": None},
            finished(outcome={"type": "success"}),
            finished(outcome={"type": "success", "pendingToolCallIds": ["c1"]}),
            finished(outcome={"type": "cancelled"}),
            finished(outcome={"type": "interrupt", "interrupts": [{"id": "i", "reason": "r"}]}),
            finished(usage=[{"model": "m", "inputTokens": 0, "cacheWriteInputTokens": 3}]),
            finished(result={"a": None}),
            started(),
            started(state=None, messages=[{"id": "u", "role": "user", "content": [FILE, BINARY]}]),
            result("x"),
            result([{"type": "text", "text": "x"}, FILE]),
            message("assistant"),
            message("assistant", toolCalls=[CALL]),
            message("tool", content=[{"type": "text", "text": "x"}], toolCallId="c1"),
            message("activity", activityType="PLAN", content={"a": None}),
            message("reasoning", content="x", encryptedValue="y"),
            {"type": "SUBAGENT_STARTED", "subagentRunId": "s", "name": "n"},
            {
                "type": "SUBAGENT_FINISHED",
                "subagentRunId": "s",
                "outcome": {"type": "suspended", "interruptIds": ["i"]},
            },
        ],
    )
    def test_validate__valid(self, event: Event) -> None:
        """A valid event comes back as the same object."""
        assert validate(event) is event

    def test_validate__known_types(self) -> None:
        """All event types of AG-UI are known, the retired ones are not."""
        assert {"RUN_STARTED", "TOOL_CALL_CHUNK", "SUBAGENT_ERROR"} <= KNOWN_TYPES
        assert len(KNOWN_TYPES) == 31
        assert "THINKING_START" not in KNOWN_TYPES


class TestValidateRepairs:
    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            ({**DELTA, "timestamp": None, "rawEvent": None, "metadata": None}, DELTA),
            ({**DELTA, "subagentRunId": None, "kept": None}, {**DELTA, "kept": None}),
            (
                {"type": "RUN_ERROR", "message": "m", "subagentRunId": None, "code": None},
                {"type": "RUN_ERROR", "message": "m"},
            ),
            ({**DELTA, "timestamp": 12.75}, {**DELTA, "timestamp": 12}),
            (
                {"type": "REASONING_MESSAGE_START", "messageId": "r", "role": None},
                {"type": "REASONING_MESSAGE_START", "messageId": "r", "role": "reasoning"},
            ),
            ({"type": "CUSTOM", "name": "n"}, {"type": "CUSTOM", "name": "n", "value": None}),
            ({"type": "RAW"}, {"type": "RAW", "event": None}),
            ({"type": "STATE_SNAPSHOT"}, {"type": "STATE_SNAPSHOT", "snapshot": None}),
            (finished(outcome=None, result=None), finished()),
            (
                finished(outcome={"type": "success", "pendingToolCallIds": None}),
                finished(outcome={"type": "success"}),
            ),
            (
                finished(
                    outcome={
                        "type": "interrupt",
                        "interrupts": [{"id": "i", "reason": "r", "message": None}],
                    }
                ),
                finished(outcome={"type": "interrupt", "interrupts": [{"id": "i", "reason": "r"}]}),
            ),
            (
                finished(usage=[{"inputTokens": 3.0, "model": None}]),
                finished(usage=[{"inputTokens": 3}]),
            ),
            (message("assistant", content=None, toolCalls=None), message("assistant")),
            (
                message("assistant", toolCalls=[{**CALL, "encryptedValue": None}]),
                message("assistant", toolCalls=[CALL]),
            ),
            (
                message("user", name=None, content=[{**FILE, "metadata": None}]),
                message("user", content=[FILE]),
            ),
            (started(tools=None, context=None, resume=None), started()),
            (
                started(tools=[{"name": "n", "description": "", "parameters": None}]),
                started(tools=[{"name": "n", "description": ""}]),
            ),
        ],
    )
    def test_validate__repairable(self, event: Event, expected: Event) -> None:
        """What clients would silently lose the stream over is put right in a copy."""
        before = json.dumps(event)

        assert validate(event) == expected
        assert json.dumps(event) == before

    def test_validate__missing_lists(self) -> None:
        """The lists AG-UI 1.0 made optional in a run's input are there again."""
        echo = {"threadId": "t1", "runId": "r1", "messages": []}

        assert validate({**started(), "input": echo}) == started()

    def test_validate__enum_type(self) -> None:
        """A type given as a member of a string enum becomes a plain string."""

        class Kind(enum.StrEnum):
            TEXT = "TEXT_MESSAGE_CONTENT"

        event = validate({**DELTA, "type": Kind.TEXT})

        assert event == DELTA
        assert type(event["type"]) is str


class TestValidateRefuses:
    @pytest.mark.parametrize(
        ("event", "problem"),
        [
            ({}, "type of an event"),
            ({"type": None}, "type of an event"),
            ({"type": ["RUN_STARTED"]}, "type of an event"),
            ({**DELTA, "messageId": 7}, "messageId must be a string"),
            ({**DELTA, "delta": None}, "delta must be a string"),
            ({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m"}, "delta is missing"),
            ({**DELTA, "timestamp": "now"}, "timestamp must be a number"),
            ({**DELTA, "timestamp": True}, "timestamp must be a number"),
            ({**DELTA, "timestamp": float("nan")}, "timestamp must be a number"),
            ({**DELTA, "timestamp": float("inf")}, "timestamp must be a number"),
            ({**DELTA, "timestamp": 2**53}, "timestamp must be a number"),
            ({**DELTA, "metadata": []}, "metadata must be an object"),
            ({**DELTA, "subagentRunId": 1}, "subagentRunId must be a string"),
            ({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "tool"}, "role must be"),
            ({"type": "RUN_STARTED", "threadId": "t1"}, "runId is missing"),
            ({"type": "RUN_FINISHED", "threadId": None, "runId": "r"}, "threadId must be a string"),
            ({"type": "STATE_DELTA", "delta": {}}, "delta must be a list"),
            ({"type": "STATE_DELTA", "delta": ["x"]}, r"delta\[0\] must be an object"),
            ({"type": "STATE_DELTA", "delta": [{"op": "put"}]}, r"delta\[0\].op must be"),
            ({"type": "STATE_DELTA", "delta": [{"op": "add", "path": "x"}]}, "JSON pointer"),
            (
                {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/x"}]},
                r"delta\[0\].value is missing",
            ),
            (
                {"type": "ACTIVITY_DELTA", "messageId": "a", "activityType": "P", "patch": None},
                "patch must be a list",
            ),
            (
                {"type": "ACTIVITY_SNAPSHOT", "messageId": "a", "activityType": "P", "content": []},
                "content must be an object",
            ),
            (
                {
                    "type": "ACTIVITY_SNAPSHOT",
                    "messageId": "a",
                    "activityType": "P",
                    "content": {},
                    "replace": 1,
                },
                "replace must be true or false",
            ),
            (finished(outcome={"type": "done"}), "outcome.type must be one of"),
            (finished(outcome="success"), "outcome must be an object"),
            (finished(outcome={"type": "interrupt", "interrupts": []}), "must not be empty"),
            (finished(usage=[{"inputTokens": -1}]), r"usage\[0\].inputTokens must be"),
            (finished(usage=[{"inputTokens": True}]), r"usage\[0\].inputTokens must be"),
            (result(None), "content must be a list"),
            (result([{"type": "text"}]), r"content\[0\].text is missing"),
            (result([{"type": "video", "source": {"type": "disk"}}]), "source.type must be"),
            (message("robot"), r"messages\[0\].role must be one of"),
            (message("user"), r"messages\[0\].content is missing"),
            (message("user", content=None), r"messages\[0\].content must be"),
            (message("user", content=[{"type": "binary", "mimeType": "a/b"}]), "needs an id"),
            (message("assistant", content=[]), "content must be a string"),
            (message("assistant", toolCalls=[{**CALL, "id": 1}]), r"toolCalls\[0\].id must be"),
            (message("tool", content="x"), "toolCallId is missing"),
            (message("activity", activityType="P", content="x"), "content must be an object"),
            (started(context=[{"description": "d", "value": {}}]), r"input.context\[0\].value"),
            (started(resume=[{"interruptId": "i", "status": "maybe"}]), "status must be"),
        ],
    )
    def test_validate__wrong_shape(self, event: Event, problem: str) -> None:
        """A known event of the wrong shape is refused, and the text says where it is wrong."""
        with pytest.raises(InvalidEvent, match=problem) as caught:
            validate(event)

        assert not isinstance(caught.value, UnknownEventType)

    @pytest.mark.parametrize("kind", ["SOMETHING_NEW", "THINKING_START", "", "run_started"])
    def test_validate__unknown_type(self, kind: str) -> None:
        """An unknown type is told apart, as it is dropped instead of ending the run."""
        with pytest.raises(UnknownEventType):
            validate({"type": kind})


class TestEncode:
    def test_encode__text(self) -> None:
        """JSON is compact, and text beyond ASCII is not escaped."""
        event = {**DELTA, "delta": "é\u2028\n"}

        assert encode(event) == (
            '{"type":"TEXT_MESSAGE_CONTENT","messageId":"m1","delta":"é\u2028\\n"}'.encode()
        )

    def test_encode__half_an_emoji(self) -> None:
        """Half a surrogate pair reaches the client as it is."""
        assert b'"delta":"\\ud83d"' in encode({**DELTA, "delta": "\ud83d"})

    def test_encode__both_halves(self) -> None:
        """Two halves joined by compaction are the emoji to whoever parses them."""
        data = encode({**DELTA, "delta": "\ud83d" + "\ude00"})

        assert json.loads(data)["delta"] == "😀"

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (2**70, b"1180591620717411303424"),
            ({1: "a"}, b'{"1":"a"}'),
            (float("nan"), b"null"),
            ([2**70, float("inf")], b"[1180591620717411303424,null]"),
        ],
    )
    def test_encode__odd_values(self, value: Any, expected: bytes) -> None:
        """What only the slow way can write follows the same rules."""
        assert encode({"value": value}) == b'{"value":' + expected + b"}"

    def test_encode__not_json(self) -> None:
        """What is no JSON is refused without showing it."""
        circular: Event = {"type": "RAW"}
        circular["event"] = circular

        for event in ({"type": "RAW", "event": object()}, {"type": "RAW", "event": b"x"}, circular):
            with pytest.raises(InvalidEvent, match=r"^RAW: cannot be written as JSON.$"):
                encode(event)
