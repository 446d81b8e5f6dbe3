"""What a run yields on its way to its readers: every stage of the pipeline together."""

from __future__ import annotations

import json
import logging
from types import MappingProxyType

import pytest
from ag_ui.core import EventType, RunStartedEvent, TextMessageContentEvent
from hypothesis import given

from copilotkit_django.events.order import OrderError
from copilotkit_django.events.pipeline import Pipeline
from copilotkit_django.events.wire import InvalidEvent
from tests.talk import kinds

from .strategies import agent_output, orderly, proper_events

STARTED = {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"}
FINISHED = {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1"}
OPEN = {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "assistant"}
DELTA = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "x"}
CLOSE = {"type": "TEXT_MESSAGE_END", "messageId": "m1"}

ECHO = {
    "threadId": "t1",
    "runId": "r1",
    "messages": [{"id": "u1", "role": "user", "content": "hi"}],
    "tools": [{"name": "f", "description": "d"}],
    "context": [{"description": "d", "value": "v"}],
    "state": {"n": 1},
    "forwardedProps": {"a": 1},
}


class Run:
    """A pipeline and everything it let out."""

    def __init__(self, **options):
        self.sent = []
        self.pipeline = Pipeline(self.sent.append, thread_id="t1", run_id="r1", **options)

    def feed(self, *events):
        for event in events:
            self.pipeline.feed(event)
        return self

    def end(self, **options):
        self.pipeline.finish(**options)
        self.pipeline.release()
        return self

    @property
    def events(self):
        return [json.loads(event) for event in self.sent]


def play(events, **options):
    """Everything observable of a run: what was sent, stored and counted, and how it failed."""
    run = Run(**options)
    failure = None
    for event in events:
        try:
            run.pipeline.feed(event)
        except (InvalidEvent, OrderError) as error:
            failure = str(error)
            break
    run.end(message=failure)
    return run.sent, run.pipeline.compacted(), run.pipeline.count, failure


def slowly(events):
    """The same events in a form that no short cut is made for."""
    return [MappingProxyType(event) if type(event) is dict else event for event in events]


class TestFastPath:
    @given(agent_output())
    def test_feed__any_agent(self, events):
        """The short cut for text deltas changes nothing that anybody can see."""
        assert play(events) == play(slowly(events))

    @given(orderly(proper_events))
    def test_feed__orderly_agent(self, events):
        """The same holds for the long runs of agents that keep the order."""
        assert play(events, modern=True) == play(slowly(events), modern=True)

    @given(orderly())
    def test_feed__known_initial_state(self, events):
        """The same holds for what is folded onto the state of the run input."""
        options = {"initial_state": {"n": 1}, "echo": ECHO}

        assert play(events, **options) == play(slowly(events), **options)

    @pytest.mark.parametrize(
        "event",
        [
            {**DELTA, "delta": None},
            {**DELTA, "delta": 7},
            {**DELTA, "messageId": None},
            {**DELTA, "messageId": "m2"},
            {**DELTA, "messageId": ["m1"]},
            {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "text": "x"},
        ],
    )
    def test_feed__broken_delta(self, event):
        """A delta of wrong shape is refused on either way, with the same sentence."""
        results = [play([STARTED, OPEN, each]) for each in (event, MappingProxyType(event))]

        assert results[0] == results[1]
        assert results[0][3]

    def test_feed__open_chunk(self):
        """A delta that follows a chunk closes what the chunk opened, as any event does."""
        chunk = {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m2", "delta": "y"}

        run = Run().feed(STARTED, OPEN, chunk, DELTA, CLOSE, FINISHED).end()

        assert kinds(run.events)[2:6] == [
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "TEXT_MESSAGE_CONTENT",
        ]

    def test_feed__half_an_emoji(self):
        """A delta that ends in the middle of an emoji reaches the reader escaped."""
        run = Run().feed(STARTED, OPEN, {**DELTA, "delta": "\ud83d"})

        assert b"\\ud83d" in run.sent[-1]
        assert run.events[-1]["delta"] == "\ud83d"

    def test_feed__event_type_enumeration(self):
        """A type may be the enumeration of the AG-UI models."""
        run = Run().feed(STARTED, OPEN, {**DELTA, "type": EventType.TEXT_MESSAGE_CONTENT})

        assert run.events[-1] == DELTA


class TestTerminalEvent:
    def test_finish__held(self):
        """The terminal event waits until the thread is free; everything else has been sent."""
        run = Run().feed(STARTED, OPEN, DELTA, CLOSE, FINISHED)
        run.pipeline.finish()
        before = kinds(run.events)
        run.pipeline.release()

        assert before == kinds([STARTED, OPEN, DELTA, CLOSE])
        assert kinds(run.events) == [*before, "RUN_FINISHED"]

    def test_release__twice(self):
        """It is sent once."""
        run = Run().feed(STARTED, FINISHED).end()
        run.pipeline.release()

        assert kinds(run.events) == ["RUN_STARTED", "RUN_FINISHED"]

    def test_feed__second_run(self):
        """An agent may run twice; the first end then goes out before the second start."""
        run = Run().feed(STARTED, FINISHED, {**STARTED, "runId": "r2"})

        assert kinds(run.events) == ["RUN_STARTED", "RUN_FINISHED", "RUN_STARTED"]

    def test_finish__no_terminal_event(self):
        """What was left open is closed and the run ends with an error."""
        run = Run().feed(STARTED, OPEN, DELTA).end()

        assert kinds(run.events)[3:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
        assert run.events[-1]["code"] == "INCOMPLETE_STREAM"

    def test_finish__stopped(self):
        """A stopped run ends well, with its ids."""
        run = Run().feed(STARTED, OPEN, DELTA).end(stopped=True)

        assert run.events[-1] == FINISHED

    def test_finish__stopped_before_anything(self):
        """A run stopped before its agent spoke is a whole run, with the echo."""
        run = Run(echo=ECHO).end(stopped=True)

        assert kinds(run.events) == ["RUN_STARTED", "RUN_FINISHED"]
        assert run.events[0]["input"] == ECHO

    def test_finish__open_chunk(self):
        """What a chunk opened is closed like everything else."""
        chunk = {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m2", "delta": "y"}

        run = Run().feed(STARTED, chunk).end()

        assert kinds(run.events)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]

    def test_finish__refused_chunk(self):
        """A chunk where no message may begin ends the run, and leaves nothing to close."""
        run = Run()
        with pytest.raises(OrderError):
            run.feed({"type": "TEXT_MESSAGE_CHUNK", "messageId": "m1", "delta": "x"})
        run.end(message="before RUN_STARTED")

        assert kinds(run.events) == ["RUN_ERROR"]

    def test_finish__already_ended(self):
        """Nothing is added to a run that has its end, whatever came up later."""
        run = Run().feed(STARTED, FINISHED).end(message="too late")

        assert kinds(run.events) == ["RUN_STARTED", "RUN_FINISHED"]

    def test_feed__run_error(self):
        """An agent's own error is the end of its run, with text and code as they are."""
        error = {"type": "RUN_ERROR", "message": "scripted", "code": "SCRIPTED"}

        run = Run().feed(STARTED, OPEN, error).end()

        assert run.events[-1] == error


class TestShape:
    def test_feed__nulls_of_the_event(self):
        """Nulls of an event's own optional fields are dropped: clients end the stream at one."""
        run = Run().feed({**STARTED, "parentRunId": None, "timestamp": None, "rawEvent": None})

        assert run.events == [STARTED]

    def test_feed__nulls_of_a_payload(self):
        """Nulls inside of payloads are somebody's data."""
        payloads = [
            {"type": "STATE_SNAPSHOT", "snapshot": {"a": None}},
            {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/a", "value": None}]},
            {"type": "CUSTOM", "name": "n", "value": None},
            {"type": "CUSTOM", "name": "n", "value": {"a": [None]}},
            {"type": "RAW", "event": {"a": None}},
        ]

        run = Run().feed(STARTED, *payloads)

        assert run.events[1:] == payloads

    def test_feed__unknown_type(self, caplog):
        """An event of a type nobody knows is dropped with a log line; the run goes on."""
        with caplog.at_level(logging.WARNING, "copilotkit.run"):
            run = Run().feed(STARTED, {"type": "SOMETHING_NEW", "value": 1}, FINISHED).end()

        assert kinds(run.events) == ["RUN_STARTED", "RUN_FINISHED"]
        assert "SOMETHING_NEW" in caplog.text

    @pytest.mark.parametrize(
        "event", [None, "text", 7, [STARTED], object(), RunStartedEvent, {}, {"type": 7}]
    )
    def test_feed__no_event(self, event):
        """What is no event at all ends the run."""
        with pytest.raises(InvalidEvent):
            Run().feed(STARTED, event)

    def test_feed__model(self):
        """The models of ag-ui-protocol are sent in wire form, without their nulls."""
        run = Run().feed(
            RunStartedEvent(thread_id="t1", run_id="r1"),
            OPEN,
            TextMessageContentEvent(message_id="m1", delta="x"),
        )

        assert run.events == [STARTED, OPEN, DELTA]

    def test_feed__chunk(self):
        """Chunks never reach a reader: they are written out."""
        chunk = {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m1", "delta": "x"}

        run = Run().feed(STARTED, chunk, FINISHED).end()

        assert run.events == [STARTED, OPEN, DELTA, CLOSE, FINISHED]

    def test_feed__thinking(self):
        """The reasoning events of older agents get the names and the ids of today's."""
        run = Run().feed(
            STARTED,
            {"type": "THINKING_START", "title": "Hm"},
            {"type": "THINKING_TEXT_MESSAGE_START"},
            {"type": "THINKING_TEXT_MESSAGE_CONTENT", "delta": "hm"},
            {"type": "THINKING_TEXT_MESSAGE_END"},
            {"type": "THINKING_END"},
            FINISHED,
        )

        inner = run.events[1:]
        assert kinds(inner) == [
            "REASONING_START",
            "REASONING_MESSAGE_START",
            "REASONING_MESSAGE_CONTENT",
            "REASONING_MESSAGE_END",
            "REASONING_END",
        ]
        assert inner[0]["messageId"] == inner[-1]["messageId"]
        assert len({event["messageId"] for event in inner[1:-1]}) == 1

    @pytest.mark.parametrize(
        "events", [[DELTA], [OPEN], [STARTED, STARTED], [STARTED, DELTA], [STARTED, CLOSE]]
    )
    def test_feed__wrong_order(self, events):
        """An event that may not stand where it does ends the run."""
        with pytest.raises(OrderError):
            Run().feed(*events)

    def test_feed__ids_left_out(self):
        """The borders of a run are completed with its ids, and only where they are missing."""
        run = (
            Run()
            .feed(
                {"type": "RUN_STARTED", "threadId": None},
                {"type": "RUN_FINISHED", "runId": "own", "threadId": "own"},
            )
            .end()
        )

        assert run.events == [STARTED, {**FINISHED, "runId": "own", "threadId": "own"}]


class TestEcho:
    def test_feed__run_started(self):
        """The start of a run carries its input, which is how what users say gets into history."""
        assert Run(echo=ECHO).feed(STARTED).events == [{**STARTED, "input": ECHO}]

    def test_feed__own_input(self):
        """An agent's own echo is left as it is."""
        own = {**STARTED, "input": {**ECHO, "messages": []}}

        assert Run(echo=ECHO).feed(own).events == [own]

    def test_compacted__echo(self):
        """Of the echo only the messages are stored; nobody reads the rest of it again."""
        run = Run(echo=ECHO).feed(STARTED, FINISHED).end()

        stored = run.pipeline.compacted()[0]["input"]

        assert stored == {
            "threadId": "t1",
            "runId": "r1",
            "messages": ECHO["messages"],
            "tools": [],
            "context": [],
            "state": {},
            "forwardedProps": {},
        }

    def test_compacted__agent_without_start(self):
        """Nothing is stored of an echo that was never sent."""
        run = Run(echo=ECHO)
        run.pipeline.finish(message="boom")

        assert kinds(run.pipeline.compacted()) == ["RUN_ERROR"]


class TestProtocolVersion:
    FILE = {"type": "image", "source": {"type": "file", "value": "f1"}}
    PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    def run(self, *, modern):
        result = {
            "type": "TOOL_CALL_RESULT",
            "messageId": "t1",
            "toolCallId": "c1",
            "content": self.PARTS,
        }
        return Run(modern=modern).feed(
            STARTED, result, {**FINISHED, "outcome": {"type": "cancelled"}}
        )

    def test_feed__client_that_declared_nothing(self):
        """A client of 0.0.59 gets nothing it would silently end the stream at."""
        run = self.run(modern=False).end()

        assert run.events[0] == STARTED
        assert run.events[1]["content"] == "ab"
        assert run.events[2] == FINISHED

    def test_feed__client_that_declared_a_version(self):
        """A client of 1.0 gets everything, and is told which protocol it gets."""
        run = self.run(modern=True).end()

        assert run.events[0] == {**STARTED, "protocolVersion": "1.0"}
        assert run.events[1]["content"] == self.PARTS
        assert run.events[2]["outcome"] == {"type": "cancelled"}

    def test_feed__file_in_the_echo(self):
        """The echo is brought down like any event."""
        message = {"id": "u1", "role": "user", "content": [self.FILE, *self.PARTS]}

        run = Run(echo={**ECHO, "messages": [message]}).feed(STARTED)

        assert run.events[0]["input"]["messages"][0]["content"] == self.PARTS
