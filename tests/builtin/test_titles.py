"""Threads named by the model, and what runs cost that end early."""

from __future__ import annotations

import asyncio
from typing import Any

from copilotkit_django import tool
from copilotkit_django.signals import run_finished
from copilotkit_django.testing import Refuse, ToolCall
from tests.talk import run_input, until

from .conftest import MODELS


@tool
def act() -> str:
    """Act."""
    raise AssertionError("not for titles")


async def test_thread__named_by_the_model(serve, llm, alice, provider) -> None:
    """The model is asked for a title with no tools at hand, and the list of threads shows it."""
    llm.script = lambda prompt: (
        '{"title": "Fruit prices"}' if "title" in prompt.last_user_text else "Cheap."
    )
    serve(MODELS[provider], tools=[act], endpoint={"thread_names": "agent"})

    await alice.run(run_input("What do pears cost?"))
    async with asyncio.timeout(5):
        while True:
            (thread,) = (await alice.ask("GET", "/threads?agentId=default")).data["threads"]
            if thread["name"]:
                break

    assert thread["name"] == "Fruit prices"
    asked, titled = llm.prompts
    assert "act" in asked.tool_names
    assert titled.tools == []
    assert "user: What do pears cost?" in titled.last_user_text
    assert "assistant: Cheap." in titled.last_user_text


async def test_usage__of_a_run_that_fails(serve, llm, alice) -> None:
    """What the answers before it have cost counts where a later one fails."""

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    llm.script = lambda prompt: Refuse(400) if prompt.tool_results else ToolCall("look")
    seen: list[Any] = []

    def note(usage: Any, outcome: str, **more: Any) -> None:
        seen.append((outcome, usage))

    run_finished.connect(note)
    try:
        serve(tools=[look])
        await alice.run(run_input())
        await until(lambda: bool(seen))
    finally:
        run_finished.disconnect(note)

    ((outcome, usage),) = seen
    assert outcome == "failed"
    assert [entry["inputTokens"] for entry in usage] == [11]
