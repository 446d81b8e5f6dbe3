"""Streams of frameworks, brought to one form."""

from __future__ import annotations

import copy

import pytest
from ag_ui.core import EventType, RunStartedEvent, TextMessageChunkEvent
from ag_ui.encoder import EventEncoder

from copilotkit_django.agents import RunContext, RunInput
from copilotkit_django.contrib.stream import FrameworkError, FrameworkStream, aligned
from tests.talk import kinds, text_of

USER = {"id": "u1", "role": "user", "content": "Hi"}
STARTED = {"type": "RUN_STARTED", "threadId": "key", "runId": "their-run"}
FINISHED = {"type": "RUN_FINISHED", "threadId": "key", "runId": "their-run"}


def context(*messages):
    return RunContext(RunInput("t1", "r1", list(messages or [USER])), agent_id="a")


def through(*events, messages=(), **options):
    """The whole run."""
    stream = FrameworkStream(context(*messages), **options)
    found = [wire for event in events for wire in stream.feed(event)]
    return [*found, *stream.finish()]


def said(text, id="m1"):
    return {"type": "TEXT_MESSAGE_CHUNK", "messageId": id, "role": "assistant", "delta": text}


def called(id="c1", name="look", **more):
    return {
        "type": "TOOL_CALL_CHUNK",
        "toolCallId": id,
        "toolCallName": name,
        "delta": "{}",
        **more,
    }


def snapshot(*messages):
    return {"type": "MESSAGES_SNAPSHOT", "messages": list(messages)}


def assistant(text, id="new", *calls):
    message = {"id": id, "role": "assistant", "content": text}
    if calls:
        function = {"name": "look", "arguments": "{}"}
        message["toolCalls"] = [
            {"id": call, "type": "function", "function": function} for call in calls
        ]
    return message


def test_stream__ids_of_the_client():
    """Begin and end bear the ids of the client, whatever the framework was told."""
    events = through(STARTED, said("Hello"), FINISHED)

    assert kinds(events) == [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    assert {(e["threadId"], e["runId"]) for e in (events[0], events[-1])} == {("t1", "r1")}


def test_stream__models_and_frames():
    """Models and frames of SSE are as good as mappings."""
    model = TextMessageChunkEvent(message_id="m1", role="assistant", delta="One ")
    frames = (
        'data: {"type": "TEXT_MESSAGE_CHUNK",\ndata:  "messageId": "m1", "delta": "two"}\n\n'
        ': nothing\n\ndata: {"type": "CUSTOM", "name": "x", "value": 1}\n\n'
    )

    events = through(
        RunStartedEvent(type=EventType.RUN_STARTED, thread_id="key", run_id="r"), model, frames
    )

    assert text_of(events) == "One two"
    assert "CUSTOM" in kinds(events)


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
def test_stream__line_separators(character):
    """A frame ends where SSE says: characters Python takes for ends of lines are text."""
    text = f"one{character}two"
    frame = EventEncoder().encode(TextMessageChunkEvent(message_id="m1", delta=text))

    assert text_of(through(frame)) == text


def test_stream__begin_and_end_missing():
    """A framework that says neither is given both."""
    assert kinds(through()) == ["RUN_STARTED", "RUN_FINISHED"]
    assert kinds(through(said("Hello")))[-2:] == ["TEXT_MESSAGE_END", "RUN_FINISHED"]


def test_stream__one_terminal_event():
    """What comes after the end is ignored, another end too."""
    events = through(STARTED, STARTED, FINISHED, said("Wait!"), FINISHED)

    assert kinds(events) == ["RUN_STARTED", "RUN_FINISHED"]


def test_stream__raw():
    """Raw events come only where they were asked for, and so do raw fields."""
    raw = {"type": "RAW", "event": {"a": 1}, "source": "x"}
    step = {"type": "STEP_STARTED", "stepName": "s", "rawEvent": {"b": 2}}

    assert through(raw, step)[1:-1] == [{"type": "STEP_STARTED", "stepName": "s"}]
    assert through(raw, step, raw=True)[1:-1] == [raw, step]


def test_stream__error():
    """An error is raised with the framework's words, which are not for the client."""
    with pytest.raises(FrameworkError, match="no such table") as caught:
        through(STARTED, {"type": "RUN_ERROR", "message": "no such table", "code": "DB"})

    assert caught.value.code == "DB"


def test_stream__pending_calls():
    """Calls without a result are named at the end, unless the framework has an outcome."""
    result = {"type": "TOOL_CALL_RESULT", "messageId": "t", "toolCallId": "c1", "content": "ok"}
    outcome = {"type": "interrupt", "interrupts": [{"id": "c2"}]}

    events = through(called("c1"), called("c2"), result, FINISHED)
    assert events[-1]["outcome"] == {"type": "success", "pendingToolCallIds": ["c2"]}
    assert through(called("c2"), {**FINISHED, "outcome": outcome})[-1]["outcome"] == outcome
    assert "outcome" not in through(called("c1"), result)[-1]


def test_snapshot__nothing_new():
    """A snapshot that says what was streamed is dropped, whatever its ids."""
    system = {"id": "s", "role": "system", "content": "You are a pirate. The code is 1234."}

    events = through(
        said("Hello"),
        snapshot(system, {**USER, "id": "other"}, assistant("Hello")),
        snapshot(system, USER, assistant("Hello", "yet another")),
    )

    assert "MESSAGES_SNAPSHOT" not in kinds(events)


def test_snapshot__something_new():
    """A snapshot that adds a message keeps the ids of the others."""
    events = through(
        said("Hello"), snapshot({**USER, "id": "x"}, assistant("Hello", "y"), assistant("More"))
    )

    [found] = [e for e in events if e["type"] == "MESSAGES_SNAPSHOT"]
    assert [m["id"] for m in found["messages"]] == ["u1", "m1", "new"]


def test_snapshot__result_not_streamed():
    """The result of a tool that stands only in a snapshot is streamed, and is no longer pending."""
    tool = {"id": "n", "role": "tool", "toolCallId": "c1", "content": "42"}

    events = through(
        said("Let me see"), called(), snapshot(assistant("Let me see", "n", "c1"), tool)
    )

    [result] = [e for e in events if e["type"] == "TOOL_CALL_RESULT"]
    assert (result["toolCallId"], result["content"]) == ("c1", "42")
    assert "MESSAGES_SNAPSHOT" not in kinds(events)
    assert "outcome" not in events[-1]


def test_snapshot__answer_in_parts():
    """An answer of text and calls that a client holds as two messages stays two."""
    events = through(
        said("Let me see"),
        called("c1"),
        called("c2"),
        snapshot(USER, assistant("Let me see", "n", "c1", "c2")),
    )

    assert "MESSAGES_SNAPSHOT" not in kinds(events)


def test_snapshot__same_words_twice():
    """The second time somebody says a thing is another message."""
    held = [USER, assistant("Yes", "a1"), {**USER, "id": "u2"}, assistant("Yes", "a2")]
    theirs = [{**message, "id": f"x{number}"} for number, message in enumerate(held)]

    assert aligned(held, theirs, replace=True) == held


def test_snapshot__forgotten():
    """What a framework forgot stays with the client, unless it may take messages away."""
    held = [USER, assistant("One", "a1"), {**USER, "id": "u2", "content": "And?"}]
    theirs = [{**held[2], "id": "x"}, assistant("Two")]

    assert aligned(held, theirs, replace=False) == [*held, assistant("Two")]
    assert aligned(held, theirs, replace=True) == [held[2], assistant("Two")]


def test_snapshot__kept_roles():
    """Reasoning a snapshot does not speak of stays where it is."""
    thought = {"id": "r", "role": "reasoning", "content": "Hm"}
    held = [USER, thought, assistant("One", "a1")]

    assert aligned(held, [USER, assistant("One", "x")], replace=True) == held


def test_snapshot__edited():
    """What a framework made of a message of the same id is what a client gets; not of a user's."""
    held = [USER, assistant("One", "a1")]
    theirs = [{**USER, "content": "<state/> Hi"}, assistant("Uno", "a1")]

    assert aligned(held, theirs, replace=True) == [USER, assistant("Uno", "a1")]


def test_snapshot__input_not_changed():
    """The messages of the run's input are left alone."""
    held = [copy.deepcopy(USER), assistant("One", "a1", "c9")]
    before = copy.deepcopy(held)

    through(said("Two"), snapshot(assistant("Three")), said("more", "new"), messages=held)

    assert held == before


def test_state__same_again():
    """A snapshot of the state that says nothing new is dropped, until something else changes it."""

    def state(value):
        return {"type": "STATE_SNAPSHOT", "snapshot": {"a": value}}

    delta = {"type": "STATE_DELTA", "delta": [{"op": "replace", "path": "/a", "value": 3}]}

    events = through(state(1), state(1), state(2), delta, state(2))

    assert events[1:-1] == [state(1), state(2), delta, state(2)]
