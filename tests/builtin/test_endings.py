"""How runs end that do not end well: errors, stops, limits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from copilotkit_django import BuiltInAgent, RunContext, RunInput, tool
from copilotkit_django.agents.builtin.models import close_models
from copilotkit_django.testing import Drop, Fail, Refuse, Text, ToolCall, Wait
from tests.integration.site import first_event, read
from tests.talk import events_in, kinds, run_input, text_of, until, within

from .conftest import MODELS
from .conversation import results


@tool
def broken(city: str) -> str:
    """Raise."""
    raise RuntimeError("the password is hunter2")


async def test_error__before_the_first_word(serve, llm, alice, provider, caplog) -> None:
    """A refusal of the provider ends the run with a sentence of ours; its words are in the log."""
    llm.script = lambda prompt: Refuse(401, "Incorrect key sk-secret.")
    serve(MODELS[provider])

    events = (await alice.run(run_input())).events

    assert kinds(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert "Incident" in events[-1]["message"]
    assert "sk-secret" not in str(events)
    assert "sk-secret" in caplog.text


async def test_error__in_the_middle(serve, llm, alice, provider) -> None:
    """What was said before the model broke down stays; what is open is closed."""
    llm.script = lambda prompt: [Text("I was just"), Fail("Secret trouble.")]
    serve(MODELS[provider])

    events = (await alice.run(run_input())).events

    assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
    assert text_of(events) == "I was just"
    assert "Secret" not in str(events)


async def test_error__connection_dropped_in_a_call(serve, llm, alice, provider) -> None:
    """A call that was cut is not carried out."""
    made = []

    @tool
    def act(text: str) -> str:
        """Act."""
        made.append(text)
        return "done"

    llm.script = lambda prompt: [Text("Wait."), ToolCall("act", {"text": "x" * 50}), Drop()]
    serve(MODELS[provider], tools=[act])

    events = (await alice.run(run_input())).events

    assert events[-1]["type"] == "RUN_ERROR"
    assert made == []
    opened = [e["toolCallId"] for e in events if e["type"] == "TOOL_CALL_START"]
    assert opened == [e["toolCallId"] for e in events if e["type"] == "TOOL_CALL_END"]


async def test_error__shown(serve, llm, alice) -> None:
    """With EXPOSE_ERROR_TEXT the page gets the provider's words."""
    llm.script = lambda prompt: Refuse(401, "Incorrect key.")
    serve(endpoint={"expose_error_text": True})

    events = (await alice.run(run_input())).events

    assert "Incorrect key." in events[-1]["message"]


async def test_error__no_key(serve, llm, alice, monkeypatch, caplog) -> None:
    """A key that is not configured is named in the log, not on the page."""
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    serve("anthropic/claude-test")

    events = (await alice.run(run_input())).events

    assert kinds(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert "ANTHROPIC_API_KEY" not in str(events)
    assert "ANTHROPIC_API_KEY" in caplog.text


async def test_error__of_a_tool(serve, llm, alice) -> None:
    """A tool that raises does not end the run; the model is told, not what the exception says."""
    llm.script = lambda prompt: (
        "Sorry." if prompt.tool_results else ToolCall("broken", {"city": "Rome"})
    )
    serve(tools=[broken])

    events = (await alice.run(run_input())).events

    assert text_of(events) == "Sorry."
    assert events[-1]["type"] == "RUN_FINISHED"
    assert "hunter2" not in str(events) + str(llm.prompts[-1].body)
    assert "Incident" in next(iter(results(events).values()))


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        (ToolCall("population", {"city": "Rome"}), "no tool named population"),
        (ToolCall("broken", {"town": "Rome"}), "city"),
        (ToolCall("broken", {}), "city"),
    ],
)
async def test_call__that_cannot_be_made(serve, llm, alice, called, expected) -> None:
    """Tools there are not, and arguments they do not take, are the model's to mend."""
    llm.script = lambda prompt: prompt.tool_results[0].text if prompt.tool_results else called
    serve(tools=[broken])

    events = (await alice.run(run_input())).events

    assert expected in text_of(events)
    assert events[-1]["type"] == "RUN_FINISHED"


async def test_stop__mid_token(serve, llm, alice, provider) -> None:
    """A stop ends the run at once and hangs up on the provider."""
    gate = threading.Event()
    llm.script = lambda prompt: [Text("One two"), Wait(gate), Text(" three")]
    runtime = serve(MODELS[provider])

    response = await alice.open("POST", "/agent/default/run", run_input())
    rest = await first_event(response)
    await until(lambda: bool(llm.prompts) and llm.prompts[0].sent >= 2)
    stopped = await alice.ask("POST", "/agent/default/stop/t1")
    assert stopped.data["stopped"] is True
    events = events_in(b"data: {}\n\n" + b"".join([chunk async for chunk in rest]))

    assert kinds(events[1:])[-1] == "RUN_FINISHED"
    (prompt,) = llm.prompts
    assert await asyncio.to_thread(prompt.wait, 5)
    assert prompt.disconnected
    assert not await runtime.runner.is_running(_thread(runtime))


def _thread(runtime):
    from copilotkit_django.runners.base import ThreadRef

    return ThreadRef("user:alice", "t1")


async def test_stop__in_a_tool(serve, llm, alice) -> None:
    """A stop reaches the tool that is being waited for; the model is not asked again."""
    began, ended = asyncio.Event(), asyncio.Event()

    @tool
    async def linger() -> str:
        """Linger."""
        began.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return "late"

    llm.script = lambda prompt: ToolCall("linger")
    serve(tools=[linger])

    response = await alice.open("POST", "/agent/default/run", run_input())
    running = asyncio.create_task(read(response))
    await within(began.wait())
    await alice.ask("POST", "/agent/default/stop/t1")
    events = (await within(running)).events

    assert ended.is_set()
    assert events[-1]["type"] == "RUN_FINISHED"
    assert len(llm.prompts) == 1


@pytest.mark.parametrize(("limit", "asked"), [(1, 1), (3, 3), (None, 10)])
async def test_max_steps__reached(serve, llm, alice, limit, asked) -> None:
    """A model that never has enough is asked so many times; the last results are still told."""

    @tool
    def again() -> str:
        """Again."""
        return "more"

    llm.script = lambda prompt: ToolCall("again")
    serve(tools=[again], max_steps=limit)

    events = (await alice.run(run_input())).events

    assert len(llm.prompts) == asked
    assert len(results(events)) == asked
    assert events[-1]["type"] == "RUN_FINISHED"


async def test_run__without_messages(serve, llm, alice) -> None:
    """With nothing to answer and no prompt the run says so; with a prompt the model may begin."""
    serve()
    nothing = (await alice.run(run_input(messages=[]))).events
    assert kinds(nothing) == ["RUN_STARTED", "RUN_ERROR"]
    assert nothing[-1]["message"] == "The run has no messages to answer."
    assert nothing[-1]["code"] == "NO_MESSAGES"

    serve(prompt="Greet the user.")
    llm.script = lambda prompt: "Welcome!"
    events = (await alice.run(run_input(run="r2", messages=[]))).events
    assert text_of(events) == "Welcome!"


async def test_tool_of_the_page__without_an_object(serve, llm, alice) -> None:
    """A tool whose parameters are no object cannot be offered, and the run says which."""
    serve()
    bad = {"name": "odd", "description": "", "parameters": {"type": "array"}}

    events = (await alice.run(run_input(tools=[bad]))).events

    assert kinds(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert "'odd'" in events[-1]["message"]
    assert llm.prompts == []


@pytest.mark.parametrize("kind", ["model", "factory"])
async def test_run__left_by_its_driver(llm, kind) -> None:
    """A run that is left in the middle hangs up then, not when it is collected."""
    gate = threading.Event()
    llm.script = lambda prompt: [Text("One two three"), Wait(gate)]
    agent = BuiltInAgent(MODELS["openai"])
    if kind == "factory":
        inner = agent
        agent = BuiltInAgent(factory=lambda context: inner)
    context = RunContext(RunInput.from_wire(run_input()).for_agent(), "default")

    run = agent.run(context)
    async with asyncio.timeout(5):
        async for event in run:
            if event["type"] == "TEXT_MESSAGE_CHUNK":
                break
        tasks = asyncio.all_tasks()
        await run.aclose()
        # Nothing is left to a task of the collector's, which would begin now.
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= tasks

    assert await asyncio.to_thread(llm.prompts[0].wait, 5)
    assert llm.prompts[0].disconnected
    await close_models()
