"""What a client that is told of a run is sent when it connects to the thread it shows."""

from __future__ import annotations

import json

import pytest

from copilotkit_django.operations.news import new_to
from copilotkit_django.runners.log import Batch
from tests.talk import collect, kinds, user_message


def run(name: str, text: str = "hello", *, asked: str = "", call: str = "") -> list[dict]:
    """The events of a run that says something and may call a tool."""
    question = [user_message("hi", asked or f"u-{name}")]
    events = [
        {"type": "RUN_STARTED", "runId": name, "threadId": "t", "input": {"messages": question}},
        {"type": "TEXT_MESSAGE_START", "messageId": name, "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": name, "delta": text[:2]},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": name, "delta": text[2:]},
        {"type": "TEXT_MESSAGE_END", "messageId": name},
    ]
    if call:
        events += [
            {"type": "TOOL_CALL_START", "toolCallId": call, "toolCallName": "look"},
            {"type": "TOOL_CALL_ARGS", "toolCallId": call, "delta": "{}"},
            {"type": "TOOL_CALL_END", "toolCallId": call},
        ]
    return [*events, {"type": "RUN_FINISHED", "runId": name, "threadId": "t"}]


def has(name: str, text: str = "hello", *, call: str = "") -> list[dict]:
    """The messages a client has of such a run."""
    said = {"id": name, "role": "assistant", "content": text}
    if call:
        function = {"name": "look", "arguments": "{}"}
        said["toolCalls"] = [{"id": call, "type": "function", "function": function}]
    return [user_message("hi", f"u-{name}"), said]


async def told(messages, *runs, size=3):
    events = [json.dumps(event).encode() for each in runs for event in each]

    async def reader():
        for start in range(0, len(events), size):
            yield Batch(events[start : start + size])

    return await collect(new_to(messages, reader()))


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_news__of_a_run_it_does_not_know(size):
    """Runs the client has are left out; the first one it does not have and all after it come."""
    messages = [*has("one"), *has("two")]

    events = await told(messages, run("one"), run("two"), run("three"), run("four"), size=size)

    assert events == [*run("three"), *run("four")]


async def test_news__of_nothing():
    """A client that has everything is sent nothing."""
    assert await told([*has("one"), *has("two", call="c")], run("one"), run("two", call="c")) == []


@pytest.mark.parametrize("had", ["", "he", "hel", "other"])
async def test_news__of_half_a_run(had):
    """What the client has of a run that it has not to its end is taken back before it comes."""
    messages = [*has("one"), *has("two", had)]

    events = await told(messages, run("one"), run("two"), size=100)

    snapshot, *rest = events
    assert snapshot == {"type": "MESSAGES_SNAPSHOT", "messages": messages[:-1]}
    assert rest == run("two")


async def test_news__of_an_answer_to_its_own_question():
    """Of a run whose question the client has asked but nothing more, nothing is taken back."""
    messages = [*has("one"), user_message("hi", "u-two")]

    assert await told(messages, run("one"), run("two")) == run("two")


async def test_news__of_a_tool_call():
    """A call the client does not know makes a run new, and what it has of it is taken back."""
    events = await told(has("one"), run("one", call="c1"), size=100)

    assert kinds(events) == ["MESSAGES_SNAPSHOT", *kinds(run("one", call="c1"))]
    assert events[0]["messages"] == [user_message("hi", "u-one")]


async def test_news__of_a_result():
    """So does a result."""
    result = {"type": "TOOL_CALL_RESULT", "toolCallId": "c1", "messageId": "r", "content": "5"}
    whole = run("one", call="c1")
    whole.insert(-1, result)

    events = await told(has("one", call="c1"), whole)

    assert kinds(events) == ["MESSAGES_SNAPSHOT", *kinds(whole)]


async def test_news__of_a_run_that_failed():
    """A run that failed ends like any other."""
    failed = [*run("one")[:-1], {"type": "RUN_ERROR", "message": "no"}]

    assert await told(has("one"), failed, run("two")) == run("two")
