"""Expansion of chunks."""

from __future__ import annotations

from typing import Any

import pytest

from copilotkit_django.events.chunks import ChunkExpander
from copilotkit_django.events.wire import InvalidEvent

from .builders import (
    FINISHED,
    STARTED,
    args,
    call,
    called,
    closed,
    custom,
    delta,
    opened,
    reasoning,
    subagent,
)

Event = dict[str, Any]


def text(**fields: Any) -> Event:
    return {"type": "TEXT_MESSAGE_CHUNK", **fields}


def tool(**fields: Any) -> Event:
    return {"type": "TOOL_CALL_CHUNK", **fields}


def thought(**fields: Any) -> Event:
    return {"type": "REASONING_MESSAGE_CHUNK", **fields}


def expanded(*events: Event) -> list[Event]:
    expander = ChunkExpander()
    return [item for event in events for item in expander.expand(event)] + expander.finish()


class TestExpand:
    def test_expand__text(self) -> None:
        """The first chunk opens the message, the next event of another kind closes it."""
        assert expanded(
            text(messageId="m1", delta="Hel"), text(delta="lo"), text(messageId="m1"), FINISHED
        ) == [
            opened("m1", role="assistant"),
            delta("m1", "Hel"),
            delta("m1", "lo"),
            closed("m1"),
            FINISHED,
        ]

    def test_expand__role_and_name(self) -> None:
        """Role and name go into the start, and no other field of a chunk into anything."""
        chunk = text(messageId="m1", role="user", name="n", timestamp=1, rawEvent={})

        assert expanded(chunk) == [opened("m1", role="user", name="n"), closed("m1")]

    def test_expand__tool_call(self) -> None:
        """A tool call names itself once; text chunks and it close each other."""
        assert expanded(
            text(messageId="m1", delta="x"),
            tool(toolCallId="c1", toolCallName="f", parentMessageId="m1", delta="{"),
            tool(delta="}"),
            tool(toolCallId="c2", toolCallName="f"),
        ) == [
            opened("m1", role="assistant"),
            delta("m1", "x"),
            closed("m1"),
            call("c1", parentMessageId="m1"),
            args("c1", "{"),
            args("c1", "}"),
            called("c1"),
            call("c2"),
            called("c2"),
        ]

    def test_expand__reasoning(self) -> None:
        """The start of reasoning has the role clients insist on."""
        assert expanded(thought(messageId="r1", delta="x")) == [
            reasoning("MESSAGE_START", role="reasoning"),
            reasoning("MESSAGE_CONTENT", delta="x"),
            reasoning("MESSAGE_END"),
        ]

    def test_expand__metadata(self) -> None:
        """Metadata goes onto all a chunk becomes; alone it becomes an empty delta."""
        assert expanded(
            text(messageId="m1", delta="x", metadata={"a": 1}), text(metadata={"b": 2})
        ) == [
            opened("m1", role="assistant", metadata={"a": 1}),
            delta("m1", "x", metadata={"a": 1}),
            delta("m1", "", metadata={"b": 2}),
            closed("m1"),
        ]

    @pytest.mark.parametrize(
        "aside",
        [
            {"type": "RAW", "event": 1},
            {"type": "ACTIVITY_SNAPSHOT", "messageId": "a", "activityType": "P", "content": {}},
            {"type": "ACTIVITY_DELTA", "messageId": "a", "activityType": "P", "patch": []},
            subagent("STARTED", name="n"),
        ],
    )
    def test_expand__aside(self, aside: Event) -> None:
        """Some events are no reason to close a message."""
        assert expanded(text(messageId="m1"), aside, text(delta="x")) == [
            opened("m1", role="assistant"),
            aside,
            delta("m1", "x"),
            closed("m1"),
        ]

    def test_expand__no_chunks(self) -> None:
        """Without chunks events pass as they are."""
        events = [STARTED, opened(), delta("m1", "x"), closed(), custom("n"), FINISHED]
        expander = ChunkExpander()

        for event in events:
            assert expander.expand(event) == [event]
            assert not expander.is_open

    def test_expand__is_open(self) -> None:
        """The expander says while it must see every event."""
        expander = ChunkExpander()
        expander.expand(text(messageId="m1"))
        assert expander.is_open

        expander.expand(custom("n"))
        assert not expander.is_open

    @pytest.mark.parametrize(
        "events",
        [
            [text(delta="x")],
            [text(messageId="m1"), custom("n"), text(delta="x")],
            [tool(toolCallName="f")],
            [tool(toolCallId="c1")],
            [thought(delta="x")],
            [text(messageId="m1"), thought(delta="x")],
        ],
    )
    def test_expand__chunk_of_nothing(self, events: list[Event]) -> None:
        """A first chunk that does not say what it begins is refused."""
        with pytest.raises(InvalidEvent, match="the first chunk needs a"):
            expanded(*events)


class TestSubagents:
    def test_expand__side_by_side(self) -> None:
        """Subagents stream at the same time without closing each other's messages."""
        assert expanded(
            text(messageId="m1", subagentRunId="s1"),
            text(messageId="m2", subagentRunId="s2"),
            text(delta="1", subagentRunId="s1"),
            text(messageId="m2", delta="2"),
            subagent("FINISHED", "s1"),
        ) == [
            opened("m1", role="assistant", subagentRunId="s1"),
            opened("m2", role="assistant", subagentRunId="s2"),
            delta("m1", "1", subagentRunId="s1"),
            delta("m2", "2", subagentRunId="s2"),
            closed("m1", subagentRunId="s1"),
            subagent("FINISHED", "s1"),
            closed("m2", subagentRunId="s2"),
        ]

    def test_expand__only_one_possible(self) -> None:
        """A chunk without any id goes on with the only stream it can belong to."""
        assert expanded(text(messageId="m1", subagentRunId="s1"), text(delta="x"))[1] == delta(
            "m1", "x", subagentRunId="s1"
        )

    def test_expand__ambiguous(self) -> None:
        """A chunk that may belong to two messages is refused."""
        both = [text(messageId=f"m{n}", subagentRunId=f"s{n}") for n in (1, 2)]

        with pytest.raises(InvalidEvent, match="which text message"):
            expanded(*both, text(delta="x"))

    def test_expand__contradiction(self) -> None:
        """A chunk naming a message of somebody else is refused."""
        with pytest.raises(InvalidEvent, match="does not belong to subagent 's2'"):
            expanded(
                text(messageId="m1", subagentRunId="s1"), text(messageId="m1", subagentRunId="s2")
            )
