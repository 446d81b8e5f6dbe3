"""What the page on names of threads says is so."""

from __future__ import annotations

import asyncio

from tests.talk import run_input

from .pages import Page

page = Page("how-to/thread-names.md")


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


async def named(caller) -> str:
    """The name of the one thread, once it has one."""
    async with asyncio.timeout(5):
        while True:
            (thread,) = (await caller.ask("GET", "/threads?agentId=default")).data["threads"]
            if thread["name"] is not None:
                return thread["name"]


@page("By the agent")
async def test_by_the_agent(project, alice, settings):
    """The agent is asked for a title, and knows it."""
    assistant = project["mysite.agents"].assistant
    settings.COPILOTKIT = {**settings.COPILOTKIT, "AGENTS": {"default": assistant}}
    answer = await alice.run(run_input("What do pears cost?"))

    assert "Pears are cheap today." in str(answer.events)
    assert await named(alice) == "Fruit prices"


@page("By the first words")
async def test_by_the_first_words(project, alice):
    """What the user said first is the name."""
    await alice.run(run_input("What do pears cost?"))

    assert await named(alice) == "What do pears cost?"
