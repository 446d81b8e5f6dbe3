"""Tools in real runs: what the stream, the log and the rest of the project see of them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User

from copilotkit_django import RunContext, ToolContext, agent, tool
from copilotkit_django.agents.tools import ToolSession
from copilotkit_django.runtime import Runtime
from copilotkit_django.signals import tool_called
from tests.talk import SECONDS, kinds, run_input, until, within

from .site import BASE, Caller, Site, by_header

pytestmark = pytest.mark.django_db(transaction=True)

release = threading.Event()
begun = threading.Event()
ended = threading.Event()


@tool
def count_users(context: ToolContext) -> dict[str, Any]:
    context.set_state({"users": User.objects.count()})
    return {"users": User.objects.count()}


@tool
def block(context: ToolContext) -> str:
    begun.set()
    assert release.wait(SECONDS)
    ended.set()
    return "unblocked"


@tool
def fail() -> str:
    raise RuntimeError("password=hunter2")


TOOLS = {made.name: made for made in (count_users, block, fail)}


@agent
async def caller(context: RunContext):
    """Calls the tool it is told to."""
    yield context.started()
    session = ToolSession(context)
    name, call_id = context.last_user_text, f"call-{context.run_id}"
    yield {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": name}
    yield {"type": "TOOL_CALL_END", "toolCallId": call_id}
    result = await TOOLS[name].call({}, session.context(call_id))
    for event in session.take():
        yield event
    yield {
        "type": "TOOL_CALL_RESULT",
        "messageId": f"result-{call_id}",
        "toolCallId": call_id,
        "content": result.content,
    }
    yield context.finished()


@pytest.fixture
def site(settings):
    def mount(**options: Any) -> None:
        runtime = Runtime(agents={"default": caller}, authentication=by_header, **options)
        settings.ROOT_URLCONF = Site({BASE: runtime})

    mount()
    return mount


@pytest.fixture
def ada(site):
    return Caller(headers={"x-user": "ada"})


@pytest.fixture
def called():
    """The records of tools that were called, as a receiver gets them."""
    records: list[dict[str, Any]] = []

    def receive(sender, signal, **facts):
        records.append({**facts, "on": threading.current_thread().name})

    tool_called.connect(receive)
    yield records
    tool_called.disconnect(receive)


async def test_run__state_before_the_result(ada, called):
    """The stream has what the tool emitted, then its result; a receiver has the record."""
    answer = await ada.run(run_input("count_users"))

    assert kinds(answer.events) == [
        "RUN_STARTED",
        "TOOL_CALL_START",
        "TOOL_CALL_END",
        "STATE_SNAPSHOT",
        "TOOL_CALL_RESULT",
        "RUN_FINISHED",
    ]
    assert answer.events[3]["snapshot"] == {"users": 0}
    await until(lambda: bool(called))
    [record] = called
    assert (record["tool"], record["outcome"]) == ("count_users", "ok")
    assert (record["scope"], record["thread_id"], record["run_id"]) == ("user:ada", "t1", "r1")
    assert (record["agent_id"], record["tool_call_id"]) == ("default", "call-r1")
    assert record["duration"] >= 0
    assert record["thread_key"]
    assert record["on"].startswith("copilotkit-run")


@pytest.mark.parametrize("expose", [False, True])
async def test_run__error_text(site, ada, expose):
    """Whether a model reads foreign error texts is what EXPOSE_ERROR_TEXT says."""
    site(expose_error_text=expose)

    answer = await ada.run(run_input("fail"))

    assert ("hunter2" in answer.events[-2]["content"]) is expose
    assert answer.events[-1]["type"] == "RUN_FINISHED"


async def test_stop__in_the_middle_of_a_tool(ada, called):
    """A stopped run ends at once; its thread goes on alone and is not heard any more."""
    for event in (begun, release, ended):
        event.clear()
    run = asyncio.create_task(ada.run(run_input("block")))
    try:
        await until(begun.is_set)
        stopped = await ada.ask("POST", "/agent/default/stop/t1", {})
        assert stopped.data["stopped"] is True
        answer = await within(run)
        assert answer.events[-1]["type"] == "RUN_FINISHED"
        assert not ended.is_set()
        await until(lambda: bool(called))
        assert called[0]["outcome"] == "cancelled"
        # The thread is free for the next run while the tool is still at work.
        again = await ada.run(run_input("count_users", run="r2"))
        assert "TOOL_CALL_RESULT" in kinds(again.events)
    finally:
        release.set()
    await until(ended.is_set)


async def test_digest__equal_arguments(called):
    """The same arguments have the same digest, in any order; others another."""
    from copilotkit_django.agents.tools.records import digest

    assert digest({"a": 1, "b": [{"c": 2, "d": 3}]}) == digest({"b": [{"d": 3, "c": 2}], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({1: object()})
