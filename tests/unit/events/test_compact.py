"""Compaction of stored runs."""

from __future__ import annotations

from typing import Any

import pytest

from copilotkit_django.events.compact import Compactor, compact

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
    patch,
    put,
    reasoning,
    snapshot,
    step,
)

Event = dict[str, Any]


class TestStreams:
    def test_compact__text(self) -> None:
        """The deltas of a message become one, and their other fields go."""
        assert compact(
            [
                STARTED,
                opened(timestamp=1),
                delta("m1", "a", timestamp=2, rawEvent={}),
                delta("m1", "b"),
                closed(timestamp=3),
                FINISHED,
            ]
        ) == [STARTED, opened(timestamp=1), delta("m1", "ab"), closed(timestamp=3), FINISHED]

    def test_compact__empty_text(self) -> None:
        """A message without deltas gets none; one with an empty delta keeps it."""
        assert compact([opened(), closed()]) == [opened(), closed()]
        assert compact([opened(), delta("m1", ""), closed()])[1] == delta("m1", "")

    def test_compact__tool_call(self) -> None:
        """The arguments of a tool call become one, its result stays behind it."""
        events = [call(), args("c1", '{"a"'), args("c1", ":1}"), called(), answer()]

        assert compact(events) == [call(), args("c1", '{"a":1}'), called(), answer()]

    def test_compact__metadata(self) -> None:
        """Metadata of the deltas is merged key by key, the last one wins."""
        assert compact(
            [
                opened(metadata={"a": 0}),
                delta("m1", "x", metadata={"a": 1, "b": 1}),
                delta("m1", "y", metadata={"b": 2}),
                closed(metadata={"c": 3}),
            ]
        ) == [
            opened(metadata={"a": 0}),
            delta("m1", "xy", metadata={"a": 1, "b": 2}),
            closed(metadata={"c": 3}),
        ]

    def test_compact__start_replayed(self) -> None:
        """A start that comes again replaces the first one's fields but not its metadata."""
        assert compact(
            [
                opened(name="a", metadata={"x": 1}),
                opened(name="b", metadata={"y": 2}),
                delta("m1", "t"),
                opened(name="c", metadata={"z": 3}),
                closed(),
            ]
        ) == [
            opened(name="c", metadata={"x": 1, "y": 2}),
            delta("m1", "t", metadata={"z": 3}),
            closed(),
        ]

    def test_compact__interleaved_tool_call(self) -> None:
        """A stream comes out when it ends: a call inside a message before that message."""
        assert compact(
            [
                opened(),
                delta("m1", "a"),
                call(parentMessageId="m1"),
                args("c1", "{"),
                delta("m1", "b"),
                args("c1", "}"),
                called(),
                closed(),
            ]
        ) == [
            call(parentMessageId="m1"),
            args("c1", "{}"),
            called(),
            opened(),
            delta("m1", "ab"),
            closed(),
        ]

    def test_compact__call_of_a_subagents_message(self) -> None:
        """A call that comes out before its message still belongs to the subagent."""
        compacted = compact(
            [
                opened(subagentRunId="s1"),
                call(parentMessageId="m1"),
                called(subagentRunId="s1"),
                closed(),
            ]
        )

        assert compacted[0] == call(parentMessageId="m1", subagentRunId="s1")

    def test_compact__call_before_a_message_of_somebody_else(self) -> None:
        """A call stays before its message where it could not follow it."""
        events = [
            *(STARTED, call(parentMessageId="m1", subagentRunId="s1"), args("c1", "{")),
            *(opened(), closed(), args("c1", "}"), args("c1", " "), called(), FINISHED),
        ]

        compacted = compact(events)

        assert compacted == [*events[:5], args("c1", "} "), called(), FINISHED]
        assert compact(compacted) == compacted

    def test_compact__others_wait(self) -> None:
        """Other events wait for the first open message, or else the first open call."""
        events = [
            *(call(), custom("1"), called()),
            *(opened("a"), opened("b"), custom("2"), closed("b"), custom("3"), closed("a")),
            custom("4"),
        ]

        assert compact(events) == [
            *(call(), called(), custom("1")),
            *(opened("b"), closed("b")),
            *(opened("a"), closed("a"), custom("2"), custom("3")),
            custom("4"),
        ]

    def test_compact__others_keep_their_order(self) -> None:
        """Other events never overtake each other, whatever ends first."""
        compacted = compact(
            [call(), step("STARTED"), opened(), step("FINISHED"), closed(), called()]
        )

        assert compacted.index(step("STARTED")) < compacted.index(step("FINISHED"))

    def test_compact__reasoning(self) -> None:
        """Deltas of reasoning are not merged."""
        deltas = [reasoning("MESSAGE_CONTENT", delta=text) for text in "ab"]
        events = [reasoning("MESSAGE_START", role="reasoning"), *deltas, reasoning("MESSAGE_END")]

        assert compact(events) == events

    def test_compact__run_failed_in_a_message(self) -> None:
        """What a failed run left open is closed before its error."""
        assert compact([STARTED, opened(), delta("m1", "x"), call(), custom("n"), FAILED]) == [
            STARTED,
            *(opened(), delta("m1", "x"), closed(), custom("n")),
            *(call(), called()),
            FAILED,
        ]

    def test_compact__still_open(self) -> None:
        """A stream that goes on elsewhere is not closed."""
        assert compact([STARTED, call(), opened(), delta("m1", "x"), custom("n")]) == [
            *(STARTED, call(), opened(), delta("m1", "x"), custom("n")),
        ]

    def test_add_delta__open_message(self) -> None:
        """The fast path adds to the message like the event would."""
        compactor = Compactor()
        compactor.add(opened())
        compactor.add_delta("m1", "a")
        compactor.add(delta("m1", "b"))
        compactor.add_delta("m1", "c")
        compactor.add(closed())

        assert compactor.finish() == [opened(), delta("m1", "abc"), closed()]

    @pytest.mark.timeout(20)
    def test_compact__many_open_streams(self) -> None:
        """The time taken grows with the number of events, not with what is open."""
        count = 50_000
        events = [STARTED, *(opened(f"m{n}") for n in range(count))]
        for n in range(count):
            events += [custom("n"), closed(f"m{n}")]
        events += [snapshot({"list": []}), *[patch(put("/list/-", 1))] * 20_000, FINISHED]

        compacted = compact(events)

        assert len(compacted) == 3 * count + 3
        assert len(compacted[-2]["snapshot"]["list"]) == 20_000


class TestState:
    def test_compact__snapshot_and_patches(self) -> None:
        """All state events of a run become one snapshot before its end."""
        assert compact(
            [
                STARTED,
                patch(put("/lost", 1)),
                snapshot({"n": 0}, metadata={"a": 1}),
                patch(put("/n", 1), metadata={"b": 2}),
                custom("n"),
                patch({"op": "replace", "path": "/n", "value": 2}),
                FINISHED,
            ]
        ) == [STARTED, custom("n"), snapshot({"n": 2}, metadata={"a": 1, "b": 2}), FINISHED]

    @pytest.mark.parametrize(
        ("initial", "expected"),
        [(None, {"n": 1}), ({}, {"n": 1}), ({"kept": 0}, {"kept": 0, "n": 1})],
    )
    def test_compact__patches_alone(self, initial: Any, expected: Any) -> None:
        """Patches without a snapshot apply to the state the run was given."""
        events = [STARTED, patch(put("/n", 1)), FINISHED]

        assert compact(events, initial) == [STARTED, snapshot(expected), FINISHED]

    def test_compact__next_run(self) -> None:
        """The state goes on from run to run."""
        first = [STARTED, snapshot({"a": 1}), FINISHED]
        second = [STARTED, patch(put("/b", 2)), FAILED]

        assert compact(first + second)[-2] == snapshot({"a": 1, "b": 2})

    @pytest.mark.parametrize(
        "bad",
        [
            {"op": "remove", "path": "/missing"},
            {"op": "test", "path": "/n", "value": 7},
            put("/no/where", 1),
            put("/n/0", 1),
            put("/list/x", 1),
            put("/text/0", 1),
            {"op": "move", "from": "/list", "path": "/list/0"},
            {"op": "replace", "path": "/list/9", "value": 1},
        ],
    )
    def test_compact__unappliable_patch(self, bad: Event) -> None:
        """Where a patch does not apply the run's state events stay as they are."""
        state = [
            snapshot({"n": 0, "list": [], "text": "abc"}),
            patch(put("/n", 1)),
            patch(put("/m", 1), bad),
            patch(put("/n", 2)),
        ]

        assert compact([STARTED, *state, FINISHED]) == [STARTED, *state, FINISHED]

    def test_compact__after_unappliable_patch(self) -> None:
        """After that the state is not guessed, until a snapshot says what it is."""
        unclear = [patch(put("/no/where", 1)), patch(put("/n", 1))]
        events = [STARTED, unclear[0], FINISHED, STARTED, unclear[1], FINISHED]

        assert compact(events) == events
        assert compact([*events, snapshot({}), patch(put("/n", 1))])[-1] == snapshot({"n": 1})

    def test_compact__document_shared_with_nobody(self) -> None:
        """Neither the state given nor the values in patches become part of a document changed."""
        initial: Any = {"list": []}
        value: Any = []
        events = [patch(put("/v", value)), patch(put("/v/-", 1)), patch(put("/list/-", 1))]

        assert compact(events, initial) == [snapshot({"list": [1], "v": [1]})]
        assert initial == {"list": []}
        assert value == []

    @pytest.mark.parametrize("value", [None, 7, "text", [], True])
    def test_compact__state_of_any_kind(self, value: Any) -> None:
        """A state need not be an object, and null is one."""
        assert compact([snapshot({}), snapshot(value)]) == [snapshot(value)]
        assert compact([snapshot(value), patch(put("/a/b", 1))])[0] == snapshot(value)


def shown(content: Any, **fields: Any) -> Event:
    about = {"messageId": "a1", "activityType": "PAGE"}
    return {"type": "ACTIVITY_SNAPSHOT", **about, "content": content, **fields}


def changed(*patch: Any, **fields: Any) -> Event:
    about = {"messageId": "a1", "activityType": "PAGE"}
    return {"type": "ACTIVITY_DELTA", **about, "patch": list(patch), **fields}


class TestActivities:
    def test_compact__replaced(self) -> None:
        """Of what was shown one after the other the last is kept, where the first was."""
        events = [STARTED, shown({"n": 1}), custom("x"), shown({"n": 2}, replace=True), FINISHED]

        compacted = compact(events)

        assert compacted == [STARTED, shown({"n": 2}, replace=True), custom("x"), FINISHED]
        assert events[1] == shown({"n": 1})

    def test_compact__grown(self) -> None:
        """A page that was written piece by piece is one page."""
        html: list[Any] = []
        pieces = [changed(put("/html/-", text)) for text in "abc"]
        events = [shown({"generating": True}), changed(put("/html", html)), *pieces]

        compacted = compact([*events, changed(put("/generating", False))])

        assert compacted == [shown({"generating": False, "html": ["a", "b", "c"]})]
        assert html == []

    @pytest.mark.parametrize(
        "other",
        [
            changed({"op": "remove", "path": "/n"}),
            changed(put("/n", 2), put("/m", 1)),
            changed(put("/deep/er", 2)),
            changed(put("/n/-", 2)),
            changed(put("/a~1b", 2)),
            changed({"op": "add", "path": "/n"}),
            changed(put("/n", 2), timestamp=1),
            shown({"n": 2}, replace=False),
            shown({"n": 2}, subagentRunId="s1"),
        ],
    )
    def test_compact__anything_else(self, other: Event) -> None:
        """What does more than to add at the top stays, and so does what comes after it."""
        events = [shown({"n": 1}), other, changed(put("/n", 3))]

        assert compact(events) == events

    def test_compact__across_boundaries(self) -> None:
        """Nothing is moved into another run, or across a list of messages."""
        messages = {"type": "MESSAGES_SNAPSHOT", "messages": []}
        for boundary in ([FINISHED, STARTED], [messages]):
            events = [STARTED, shown({"n": 1}), *boundary, shown({"n": 2}), FINISHED]
            assert compact(events) == events
