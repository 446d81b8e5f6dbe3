"""What the page on the built-in agent says is so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from copilotkit_django.agents.builtin.models import close_models
from copilotkit_django.testing import FakeLLM, ToolCall
from tests.builtin.conversation import Page as Browser
from tests.builtin.conversation import called, results
from tests.builtin.mcp_server import shop_server
from tests.integration.conftest import serve  # noqa: F401
from tests.talk import run_input, text_of

from .pages import Page

page = Page("how-to/built-in-agent.md")


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


@pytest.fixture
async def llm(monkeypatch: pytest.MonkeyPatch):
    """A provider in place of OpenAI."""
    with FakeLLM() as server:
        for name, value in server.environment("openai").items():
            monkeypatch.setenv(name, value)
        yield server
        await close_models()


@page("A model")
async def test_model(llm, project, alice):
    """The agent answers with the model, the prompt and the options."""
    events = (await alice.run(run_input("Pears?"))).events

    assert text_of(events) == "You said: Pears?"
    (prompt,) = llm.prompts
    assert prompt.provider == "openai-responses"
    assert prompt.model == "gpt-5"
    assert prompt.system.startswith("You sell fruit.")
    assert prompt.body["max_output_tokens"] == 800
    assert prompt.body["reasoning"]["effort"] == "low"


@page("A prompt for each run")
async def test_prompt(llm, project, alice):
    """The prompt knows who is asking."""
    await alice.run(run_input())

    assert llm.prompts[0].system == "You sell fruit. You are talking to a visitor."


@page("Your tools")
async def test_tools(llm, project, alice):
    """Who lacks the permission is told so by way of the model."""
    llm.script = lambda prompt: (
        prompt.tool_results[0].text if prompt.tool_results else ToolCall("count_users")
    )

    events = (await alice.run(run_input())).events

    assert "no permission" in text_of(events)


@page("Ask before acting")
async def test_approval(llm, project, alice):
    """Both tools end the run with an interrupt, and go on with the answer."""
    llm.script = lambda prompt: (
        f"Picked {prompt.tool_results[0].text}."
        if prompt.tool_results
        else ToolCall("pick_day", {"days": ["Monday"]})
    )
    browser = Browser()
    first = browser.hear((await alice.run(browser.say("When?"))).events)
    call_id = called(first, "pick_day")
    answer = {"interruptId": call_id, "status": "resolved", "payload": "Monday"}
    second = (await alice.run(browser.resume(answer))).events
    assert text_of(second) == "Picked Monday."

    llm.script = lambda prompt: ToolCall("close_account")
    third = (await alice.run(run_input("Bye", thread="t2"))).events
    (interrupt,) = third[-1]["outcome"]["interrupts"]
    assert interrupt["message"] == "Close your account for good?"
    assert interrupt["reason"] == "tool_approval"
    assert results(third) == {}
    user = SimpleNamespace(is_active=True, save=lambda update_fields: None)
    context = SimpleNamespace(user=user)
    assert project["mysite.agents"].close_account(context) == "Closed."
    assert not user.is_active


@page("What the page may choose")
async def test_overrides(llm, project, alice):
    """The page chooses what is listed, and nothing else."""
    props = {"model": "openai/gpt-5", "toolChoice": "none", "maxOutputTokens": 5}

    await alice.run(run_input(forwardedProps=props))

    (prompt,) = llm.prompts
    assert prompt.model == "gpt-5"
    assert prompt.tool_choice == "none"
    assert "max_output_tokens" not in prompt.body


@page("Tools of MCP servers")
async def test_mcp(llm, project, alice, monkeypatch):
    """Servers that are not there are skipped; the headers are those of the run."""
    agent = project["mysite.agents"].assistant
    nowhere, _ = agent.mcp_servers
    with shop_server() as shop:
        here = type(nowhere)("http", shop.url, nowhere.headers)
        monkeypatch.setattr(agent, "mcp_servers", (here, *agent.mcp_servers))

        await alice.run(run_input(), x_token="mine")

        assert {sent["authorization"] for sent in shop.headers} == {"Bearer mine"}
    assert "price" in llm.prompts[0].tool_names


@page("A model of your own making")
async def test_factory(llm, project, alice, serve):  # noqa: F811
    """Chunks of OpenAI's are streamed, and a factory may wait for the person."""
    events = (await alice.run(run_input("Pears?"))).events
    assert text_of(events) == "You said: Pears?"
    assert llm.prompts[0].provider == "openai"

    serve(agents={"default": project["mysite.painting"].painter})
    browser = Browser()
    first = browser.hear((await alice.run(browser.say("Paint"))).events)
    assert first[-1]["outcome"]["interrupts"][0]["message"] == "Which color?"
    blue = {"interruptId": "color", "status": "resolved", "payload": "blue"}
    second = (await alice.run(browser.resume(blue))).events
    assert text_of(second) == "It will be blue."
