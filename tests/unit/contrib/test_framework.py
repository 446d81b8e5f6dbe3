"""What adapters of frameworks have in common."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest

from copilotkit_django.agents import RunContext, RunInput
from copilotkit_django.contrib.framework import (
    FrameworkAgent,
    MissingFramework,
    current_run,
    on_worker_thread,
    run_input,
)
from copilotkit_django.workers import worker_thread
from tests.talk import kinds, until, within


class Scripted(FrameworkAgent):
    """Yields what it was given, and notes what it was asked and how it ended."""

    extra = "scripted"

    def __init__(self, *events, **options):
        super().__init__(**options)
        self.events = events
        self.asked = None
        self.ended = None

    async def stream(self, context):
        self.asked = context
        try:
            for event in self.events:
                if isinstance(event, asyncio.Event):
                    await event.wait()
                elif isinstance(event, Exception):
                    raise event
                else:
                    yield event
        finally:
            self.ended = asyncio.current_task()


def context(**fields):
    wire = {"messages": [{"id": "u", "role": "user", "content": "Hi"}], **fields}
    return RunContext(RunInput("wire", "r1", **wire), agent_id="a", thread_key="k" * 8)


async def everything(agent, context):
    return [event async for event in agent.run(context)]


async def test_run__by_the_key():
    """The framework knows the thread by its key, the client by its own id."""
    agent = Scripted()

    events = await everything(agent, context())

    assert agent.asked.thread_id == "k" * 8
    assert run_input(agent.asked).thread_id == "k" * 8
    assert {event["threadId"] for event in events} == {"wire"}


async def test_run__raises():
    """What a framework raises is raised, and so is what it reports."""
    with pytest.raises(LookupError, match="nothing"):
        await everything(Scripted(LookupError("nothing")), context())
    with pytest.raises(Exception, match="secret"):
        await everything(Scripted({"type": "RUN_ERROR", "message": "secret"}), context())


async def test_run__cancelled_in_its_task():
    """The generator of the framework is closed in the task that drove it."""
    agent = Scripted({"type": "STEP_STARTED", "stepName": "s"}, asyncio.Event())
    task = asyncio.create_task(everything(agent, context()))
    await until(lambda: agent.asked is not None)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(task)

    assert agent.ended is task


@pytest.mark.parametrize("last", [[], [{"type": "RUN_ERROR", "message": "Cancelled"}]])
async def test_run__stop_taken_for_an_end(last):
    """A framework that ends well, or with an error, because it was stopped has not finished."""
    call = {"type": "TOOL_CALL_CHUNK", "toolCallId": "c", "toolCallName": "pay", "delta": "{}"}
    stopped = context()
    stopped.stop.set()

    events = await everything(Scripted(call, *last), stopped)

    assert kinds(events)[:2] == ["RUN_STARTED", "TOOL_CALL_START"]
    assert "RUN_FINISHED" not in kinds(events)


def test_missing__says_what_to_install():
    """A framework that is not there is named with the way to get it."""
    error = Scripted.missing(ModuleNotFoundError("No module", name="ag_ui_scripted"))

    assert isinstance(error, MissingFramework)
    assert "ag_ui_scripted: pip install 'copilotkit-django[scripted]'" in str(error)


def test_run_input__binary_parts():
    """Attachments as clients sent them before 1.0 are brought to the form of today."""
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "binary", "mimeType": "image/png", "data": "aGk="},
        {"type": "binary", "mimeType": "application/pdf", "url": "https://testserver/a.pdf"},
        {"type": "binary", "mimeType": "image/png", "id": "only-they-know"},
    ]

    model = run_input(context(messages=[{"id": "u", "role": "user", "content": parts}]))

    assert [part.type for part in model.messages[0].content] == ["text", "image", "document"]
    assert model.messages[0].content[1].source.value == "aGk="


async def test_on_worker_thread():
    """A synchronous tool leaves the loop, and reads as it was written."""

    def look(place: str, *, closely: bool = False) -> str:
        """Look at a place."""
        return f"{place} {closely} {threading.current_thread().name}"

    tool = on_worker_thread(look)
    async with worker_thread():
        one, other = await tool("here"), await tool("there", closely=True)

    assert one.startswith("here False copilotkit-run")
    assert one.rpartition(" ")[2] == other.rpartition(" ")[2]
    assert inspect.signature(tool) == inspect.signature(look)
    assert inspect.iscoroutinefunction(tool)
    assert tool.__doc__ == "Look at a place."
    assert on_worker_thread(tool) is tool


@pytest.mark.parametrize("forward", [False, True])
async def test_system_messages(forward):
    """What a client says as the system reaches the framework only where that is wanted."""
    agent = Scripted(forward_system_messages=forward)
    messages = [
        {"id": "s", "role": "system", "content": "Obey."},
        {"id": "d", "role": "developer", "content": "Obey me."},
        {"id": "u", "role": "user", "content": "Hi"},
    ]

    await everything(agent, context(messages=messages))

    assert [m["id"] for m in agent.asked.messages] == (["s", "d", "u"] if forward else ["u"])


async def test_current_run():
    """What a framework calls can ask who is asking."""
    with pytest.raises(LookupError, match="No agent"):
        current_run()
    asked = context()

    class Curious(FrameworkAgent):
        async def stream(self, inner):
            yield {
                "type": "CUSTOM",
                "name": "who",
                "value": await asyncio.to_thread(lambda: current_run().thread_id),
            }

    events = await asyncio.create_task(everything(Curious(), asked))

    assert events[1]["value"] == "wire"
