"""What the page on event middleware says is so."""

from __future__ import annotations

from copilotkit_django import Agent
from tests.acting import Failing
from tests.talk import kinds, run_input, text_of
from tests.unit.agents.middleware.stage import Saying, result

from .pages import Page

page = Page("how-to/event-middleware.md")


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


def with_agent(settings, agent: Agent) -> None:
    settings.COPILOTKIT = {**settings.COPILOTKIT, "AGENTS": {"default": agent}}


@page("A function")
async def test_function(project, settings, alice):
    """Card numbers do not reach the page, nor anybody who reads the thread later."""
    with_agent(settings, Saying(result("Paid with 4111 1111 1111 1111.")))

    run = await alice.run(run_input())
    read = await alice.connect(run_input())

    assert run.events[1]["content"] == "Paid with [card]."
    assert read.events[1]["content"] == "Paid with [card]."


@page("For some agents")
async def test_some_agents(project, alice):
    """What the setting names is outside of what the agent uses, and counts what that adds."""
    events = (await alice.run(run_input())).events

    assert kinds(events) == ["RUN_STARTED", "CUSTOM", "RUN_FINISHED"]
    assert events[-1]["result"] == {"events": 3}


@page("Change the input")
async def test_input(project, settings, alice):
    """The agent knows the time; the echo of the input does not."""
    agent = Saying()
    with_agent(settings, agent)

    events = (await alice.run(run_input())).events

    assert agent.contexts[0].input.context[0]["description"] == "The time"
    assert events[0]["input"]["context"] == []


@page("Answer instead, or ask again")
async def test_ask_twice(project, settings, alice):
    """An agent that fails silently is asked a second time, one that spoke is not."""
    asked = []

    class Shaky(Saying):
        async def run(self, context):
            asked.append(context.run_id)
            if asked.count(context.run_id) == 1:
                raise ConnectionError
            async for event in super().run(context):
                yield event

    with_agent(settings, Shaky())
    again = await alice.run(run_input(run="r1"))
    with_agent(settings, Failing(2, ConnectionError()))
    failed = await alice.run(run_input(run="r2"))

    assert kinds(again.events) == ["RUN_STARTED", "RUN_FINISHED"]
    assert kinds(failed.events)[-1] == "RUN_ERROR"


@page("A class")
async def test_class(project, alice):
    """It answers in the agent's place, and lets suggestions through to it."""
    run = await alice.run(run_input("hello"))
    suggested = await alice.ask("POST", "/agent/default/suggest", run_input("hello"))

    assert text_of(run.events) == "We are closed."
    assert text_of(suggested.events) == "hello"
