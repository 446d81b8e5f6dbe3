"""What tools put into the stream of their run, and the state they share."""

from __future__ import annotations

import asyncio
import threading

import pytest
from ag_ui.core import CustomEvent

from copilotkit_django import ToolContext, tool
from copilotkit_django.agents.tools import CallOver, ToolSession
from copilotkit_django.events.wire import InvalidEvent
from tests.talk import kinds, within

from .calling import call, complaint, context_of, run_context


def emitted(context: ToolContext):
    return context.session.take()


def test_emit__order():
    """Events wait in the order they were emitted in, whichever way that was."""
    context = context_of(state={"n": 0})

    context.set_state({"n": 1})
    context.patch_state([{"op": "replace", "path": "/n", "value": 2}])
    context.custom("note", {"a": 1})
    context.activity("progress", {"percent": 50})
    context.emit(CustomEvent(name="model", value=None))

    events = emitted(context)
    assert events[:3] == [
        {"type": "STATE_SNAPSHOT", "snapshot": {"n": 1}},
        {"type": "STATE_DELTA", "delta": [{"op": "replace", "path": "/n", "value": 2}]},
        {"type": "CUSTOM", "name": "note", "value": {"a": 1}},
    ]
    assert events[3]["type"] == "ACTIVITY_SNAPSHOT"
    assert events[3]["messageId"] == "progress-call-1"
    assert (events[3]["activityType"], events[3]["content"]) == ("progress", {"percent": 50})
    assert events[4]["name"] == "model"
    assert emitted(context) == []
    assert context.state == {"n": 2}


def test_emit__objects_change_later():
    """What the tool does with its objects afterwards changes nothing that was said."""
    context = context_of()
    todos = [1]

    context.set_state({"todos": todos})
    todos.append(2)
    context.state["todos"].append(3)

    assert context.state == {"todos": [1]}
    assert emitted(context)[0]["snapshot"] == {"todos": [1]}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1"},
        {"type": "TEXT_MESSAGE_CHUNK", "delta": "x"},
        {"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "c", "content": "x"},
        {"type": "MESSAGES_SNAPSHOT", "messages": []},
        {"type": "CUSTOM"},
        {"type": "NONSENSE"},
        {"type": "STATE_DELTA", "delta": [{"op": "move"}]},
        {"type": "STATE_DELTA", "delta": [{"op": "remove", "path": "/nowhere"}]},
        {"type": "CUSTOM", "name": "x", "value": object()},
        "CUSTOM",
    ],
)
def test_emit__refused(event):
    """What is malformed, does not fit or is not for tools fails in the tool, not on the wire."""
    context = context_of()

    with pytest.raises(InvalidEvent):
        context.emit(event)
    assert emitted(context) == []


async def test_emit__error_reaches_the_model():
    """A tool that emits nonsense fails; its run does not."""

    @tool
    def broken(context: ToolContext) -> str:
        context.emit({"type": "RUN_ERROR", "message": "x"})
        return "never"

    assert "Incident" in await complaint(broken)


async def test_emit__call_is_over():
    """Nothing is put into the stream on behalf of a call that has ended."""
    kept = []

    @tool
    def keep(context: ToolContext) -> str:
        kept.append(context)
        return "kept"

    await call(keep)

    with pytest.raises(CallOver):
        kept[0].custom("late")
    assert emitted(kept[0]) == []


def test_patch__first_of_a_run():
    """A replay needs the state before the first patch: it is told once."""
    context = context_of(state={"n": 1})

    for value in (2, 3):
        context.patch_state([{"op": "replace", "path": "/n", "value": value}])

    events = emitted(context)
    assert kinds(events) == ["STATE_SNAPSHOT", "STATE_DELTA", "STATE_DELTA"]
    assert events[0]["snapshot"] == {"n": 1}


def test_patch__no_state():
    """Without a state, patches make one."""
    context = context_of(state=...)

    context.patch_state([{"op": "add", "path": "/n", "value": 1}])

    assert context.state == {"n": 1}
    assert kinds(emitted(context)) == ["STATE_DELTA"]


def test_patch__list_that_is_not_there():
    """The first entry of a list makes the list, once."""
    context = context_of(state={"a": {"n": 1}})

    context.patch_state(
        [
            {"op": "add", "path": "/a/items/-", "value": 1},
            {"op": "add", "path": "/a/items/-", "value": 2},
        ]
    )

    assert context.state == {"a": {"n": 1, "items": [1, 2]}}
    assert len(emitted(context)[1]["delta"]) == 3
    with pytest.raises(InvalidEvent):
        context.patch_state([{"op": "add", "path": "/b/items/-", "value": 1}])


async def test_session__shared_by_calls():
    """What one tool changes the next one sees, in threads and on the loop, none lost."""

    @tool
    def count(context: ToolContext, key: str) -> str:
        for _ in range(50):
            context.patch_state([{"op": "add", "path": "/log/-", "value": key}])
        return "counted"

    @tool
    async def acount(context: ToolContext, key: str) -> str:
        for _ in range(50):
            context.patch_state([{"op": "add", "path": "/log/-", "value": key}])
            await asyncio.sleep(0)
        return "counted"

    session = ToolSession(run_context(state={"log": []}))
    calls = [
        made.call({"key": f"{made.name}{n}"}, session.context(f"call-{n}"))
        for n in range(4)
        for made in (count, acount)
    ]
    await within(asyncio.gather(*calls))

    events = session.take()
    assert len(session.state["log"]) == 400
    told = [event["delta"][0]["value"] for event in events if event["type"] == "STATE_DELTA"]
    assert told == session.state["log"]


async def test_session__announces_on_its_loop():
    """Whoever drives the tools can send events while a tool in a thread is still at work."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    go_on = threading.Event()

    @tool
    def slow(context: ToolContext) -> str:
        context.custom("begun")
        assert go_on.wait(5)
        return "done"

    session = ToolSession(run_context(), lambda: heard.put_nowait(threading.current_thread().name))
    task = asyncio.create_task(slow.call({}, session.context("call-1")))
    try:
        assert await within(heard.get()) == "MainThread"
        assert [event["name"] for event in session.take()] == ["begun"]
        assert not task.done()
    finally:
        go_on.set()
    assert (await within(task)).content == "done"


def test_context__tells_of_the_run():
    """A tool knows whose run it is in."""
    user = object()
    context = context_of(user=user)

    assert context.user is user
    assert (context.scope, context.thread_key, context.agent_id) == ("anon:1", "key", "default")
    assert (context.thread_id, context.run_id, context.tool_call_id) == ("t1", "r1", "call-1")
    assert context.messages[0]["content"] == "hi"
