"""Agents that call tools without a model: events, decisions of the person, being stopped."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from django.utils.translation import gettext_lazy

from copilotkit_django import ToolContext, tool
from copilotkit_django.agents.tools import ToolCall, ToolSession, resumed
from tests.talk import SECONDS, kinds, user_message, within

from .calling import run_context


@tool
def add(context: ToolContext, title: str) -> dict[str, str]:
    context.custom("adding", title)
    context.set_state({"titles": [title]})
    return {"added": title}


@tool(destructive=True)
def erase(number: int) -> str:
    return f"erased {number}"


@tool(interrupt=True, interrupt_reason="pick", interrupt_message=gettext_lazy("Which?"))
def pick(options: list[str]) -> str:
    """Let the person pick."""


async def played(call: ToolCall) -> list[dict[str, Any]]:
    async def read():
        return [event async for event in call.events()]

    return await within(read())


def later(call_id: str, name: str, arguments: str, answer: dict[str, Any], **extra: Any):
    """The session of the run that answers an interrupt."""
    asked = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    messages = [user_message("go"), {"id": "a1", "role": "assistant", "toolCalls": [asked]}]
    messages += extra.pop("more", [])
    entry = {"interruptId": call_id, **answer}
    return ToolSession(run_context(messages=messages, resume=[entry], **extra))


async def test_events__whole_call():
    """The call, what the tool emits, then its result."""
    call = ToolCall(ToolSession(run_context()), add, {"title": "milk"})

    events = await played(call)

    assert kinds(events) == [
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "CUSTOM",
        "STATE_SNAPSHOT",
        "TOOL_CALL_RESULT",
    ]
    assert {event.get("toolCallId", call.id) for event in events} == {call.id}
    assert json.loads(events[1]["delta"]) == {"title": "milk"}
    assert json.loads(events[-1]["content"]) == {"added": "milk"}
    assert not call.result.error


async def test_events__as_they_come():
    """What a tool emits is in the stream while the tool is at work."""
    go_on = threading.Event()

    @tool
    def slow(context: ToolContext) -> str:
        context.custom("begun")
        assert go_on.wait(SECONDS)
        return "done"

    events = ToolCall(ToolSession(run_context()), slow, {}).events()
    try:
        while (await within(anext(events)))["type"] != "CUSTOM":
            pass
    finally:
        go_on.set()
    assert [event["type"] async for event in events] == ["TOOL_CALL_RESULT"]


async def test_events__failure():
    """A failure is told as one, and as JSON."""
    events = await played(ToolCall(ToolSession(run_context()), add, {"titel": "milk"}))

    assert "title: Field required" in json.loads(events[-1]["content"])["error"]


async def test_events__left_early():
    """An agent that is stopped cancels its tool."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async def play():
        async for _ in ToolCall(ToolSession(run_context()), slow, {}).events():
            pass

    task = asyncio.create_task(play())
    await within(begun.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(task)
    assert cancelled.is_set()


async def test_approval__asked():
    """A destructive tool leaves an interrupt, and no result."""
    call = ToolCall(ToolSession(run_context()), erase, {"number": 7})

    events = await played(call)

    assert kinds(events) == ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END"]
    assert call.result is None
    assert (call.interrupt["id"], call.interrupt["toolCallId"]) == (call.id, call.id)


async def test_approval__given():
    """The run that brings a yes makes the call, once."""
    session = later(
        "c1", "erase", '{"number": 7}', {"status": "resolved", "payload": {"approved": True}}
    )
    [call] = resumed(session, [add, erase])

    events = await played(call)

    assert kinds(events) == ["TOOL_CALL_RESULT"]
    assert events[0]["toolCallId"] == "c1"
    assert call.result.content == "erased 7"


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "cancelled"},
        {"status": "resolved", "payload": {"approved": False}},
        {"status": "resolved", "payload": "sure"},
    ],
)
async def test_approval__refused(answer):
    """Anything but a yes is a no, which stands in place of the result."""
    [call] = resumed(later("c1", "erase", '{"number": 7}', answer), [erase])

    [event] = await played(call)

    assert call.refused
    assert call.result.error
    assert "refused" in event["content"]


YES = {"status": "resolved", "payload": True}


@pytest.mark.parametrize(
    ("session", "reason"),
    [
        (later("c1", "other", "{}", YES), "another tool"),
        (later("c2", "erase", "{}", {**YES, "interruptId": "c1"}), "another call"),
        (
            later(
                "c1",
                "erase",
                '{"number": 7}',
                YES,
                more=[{"id": "t1", "role": "tool", "toolCallId": "c1", "content": "erased 7"}],
            ),
            "already answered",
        ),
    ],
)
def test_resumed__nothing_to_do(session, reason):
    """Answers about anything else, or about what was answered before, call nothing."""
    assert resumed(session, [erase]) == []


async def test_resumed__arguments_are_no_json():
    """What cannot be read is refused by the tool, not guessed."""
    [call] = resumed(later("c1", "erase", '{"number"', YES), [erase])

    await played(call)

    assert call.result.error


async def test_interrupt_tool():
    """The page's answer is the result of an interrupt tool."""
    call = ToolCall(ToolSession(run_context()), pick, {"options": ["a", "b"]})
    await played(call)
    assert call.interrupt == {
        "id": call.id,
        "reason": "pick",
        "toolCallId": call.id,
        "message": "Which?",
    }
    assert type(call.interrupt["message"]) is str

    for answer, result in (
        ({"status": "resolved", "payload": "a"}, "a"),
        ({"status": "resolved"}, {"status": "resolved"}),
        ({"status": "cancelled"}, {"status": "cancelled"}),
    ):
        [call] = resumed(later("c1", "pick", "{}", answer), [pick])
        [event] = await played(call)
        assert json.loads(event["content"]) == result


async def test_interrupt_tool__answered_by_a_message():
    """The official client adds the answer as a tool message, which is not said twice."""
    message = {"id": "t1", "role": "tool", "toolCallId": "c1", "content": "a"}
    answer = {"status": "resolved", "payload": "a"}

    [call] = resumed(later("c1", "pick", "{}", answer, more=[message]), [pick])

    assert await played(call) == []
    assert call.result.content == '"a"'


async def test_events__side_by_side():
    """Calls of one message of the assistant say so."""
    call = ToolCall(ToolSession(run_context()), add, {"title": "x"}, parent_message_id="m1")

    assert (await played(call))[0]["parentMessageId"] == "m1"
