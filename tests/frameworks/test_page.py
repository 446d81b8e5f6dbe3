"""What the page on frameworks says is so, of those that are here."""

from __future__ import annotations

import asyncio
import importlib.util

import pytest

from copilotkit_django.testing import FakeLLM
from tests.docs.conftest import project  # noqa: F401
from tests.docs.pages import Page
from tests.frameworks import talk
from tests.frameworks.cases.langgraph import forget_clients
from tests.integration.conftest import serve  # noqa: F401

page = Page("how-to/frameworks.md")

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ImportWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def _no_client_of_another_loop():
    if importlib.util.find_spec("langchain_openai") is not None:
        forget_clients()


def needs(module):
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} is not installed")


@pytest.fixture(autouse=True)
def llm(monkeypatch):
    """A provider in place of OpenAI, and what else the environment of the reader has."""
    monkeypatch.setenv("TRAVEL_TOKEN", "t")
    with FakeLLM() as llm:
        for name, value in llm.environment().items():
            monkeypatch.setenv(name, value)
        yield llm


@pytest.fixture
def browser(alice):
    return talk.Page(alice)


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


@needs("a2a")
@page("A2A")
async def test_a2a(project, browser, llm):  # noqa: F811
    """The agent answers; the token goes along."""
    from tests.frameworks.a2a_server import Assistant, Server

    server = Server(Assistant(llm.base_url()))
    try:
        project["mysite.agents"].travel.agent = server.url
        project["mysite.agents"].travel.trusted_origins.add(server.url)
        heard = await browser.say("To Rome!")
    finally:
        await asyncio.to_thread(server.stop)

    assert heard.text == "You said: To Rome!"
    assert server.headers[-1][b"authorization"] == b"Bearer t"


@needs("ag2")
@page("AG2")
async def test_ag2(project, browser):  # noqa: F811
    """One tool works on the thread of the run; the other asks, knows the user and sets state."""
    found = await browser.say('call find {"title": "Emma"}')
    asked = await browser.say('call throw_away {"title": "Emma"}')
    heard = await browser.resume(asked.interrupts[0], {"approved": True})

    assert "Emma stands on shelf 7." in found.text
    assert asked.interrupts[0]["reason"] == "tool_approval"
    assert "Emma is gone; a visitor wanted it." in heard.text
    assert browser.state == {"gone": ["Emma"]}


@needs("strands")
@page("AWS Strands")
async def test_strands(project, browser):  # noqa: F811
    """One tool sets state, the other waits for approval."""
    await browser.say('call water {"plant": "ivy"}')
    asked = await browser.say('call fell {"tree": "oak"}')
    heard = await browser.resume(asked.interrupts[0], {"approved": True})

    assert browser.state == {"watered": "ivy"}
    assert "oak is felled." in heard.text


@needs("crewai")
@page("CrewAI")
async def test_crewai(project, browser, llm, capsys):  # noqa: F811
    """The flow answers, offers the tools of the page, and prints nothing."""
    browser.tools = [talk.PAINT]

    heard = await browser.say("Soap")
    asked = await browser.say('call paint {"color": "teal"}')

    assert heard.text == "You said: Soap"
    assert llm.prompts[0].system == "You write slogans."
    assert [name for name, _, _ in asked.calls] == ["paint"]
    assert "Flow" not in capsys.readouterr().out


@needs("agent_framework")
@page("Microsoft Agent Framework")
async def test_agent_framework(project, browser):  # noqa: F811
    """One function sets state, the other waits for approval."""
    await browser.say('call save {"title": "Draft"}')
    asked = await browser.say('call publish {"title": "Draft"}')
    heard = await browser.resume(asked.interrupts[0], {"approved": True})
    await project["mysite.agents"].editor.agent.client.client.close()

    assert browser.state == {"title": "Draft"}
    assert "Draft is out." in heard.text


@needs("agno")
@page("Agno")
async def test_agno(project, browser):  # noqa: F811
    """One tool sets state, the other waits for approval; the model reads what was said."""
    await browser.say('call pack {"thing": "A hat"}')
    asked = await browser.say('call book {"place": "Rome"}')
    heard = await browser.resume(asked.interrupts[0], {"approved": True})

    assert browser.state == {"packed": ["A hat"]}
    assert "Rome is booked." in heard.text


@needs("ag_ui_adk")
@page("Google ADK")
async def test_adk(project, browser):  # noqa: F811
    """One tool sets state, the other waits for approval."""
    try:
        await browser.say('call rename {"title": "Draft"}')
        asked = await browser.say('call publish {"title": "Draft"}')
        heard = await browser.resume(asked.interrupts[0], {"approved": True})
    finally:
        await project["mysite.agents"].clerk.close()

    assert browser.state == {"title": "Draft"}
    assert "Draft is out." in heard.text


@needs("ag_ui_langgraph")
@page("LangGraph")
async def test_langgraph(project, browser):  # noqa: F811
    """The tool asks, and does what the answer says."""
    for approved, text in ((True, "It is on its way."), (False, "It was not sent.")):
        asked = await browser.say('call send {"text": "Hi"}')
        heard = await browser.resume(asked.interrupts[0], {"approved": approved})

        assert asked.interrupts[0]["message"] == "Send “Hi”?"
        assert text in heard.text


@needs("llama_index")
@page("LlamaIndex")
async def test_llama_index(project, browser):  # noqa: F811
    """The tool changes the state."""
    heard = await browser.say('call remember {"fact": "It rains."}')

    assert "I shall." in heard.text
    assert browser.state == {"facts": ["It rains."]}


@needs("pydantic_ai")
@page("Pydantic AI")
async def test_pydantic_ai(project, browser):  # noqa: F811
    """One tool sets state, the other waits for approval."""
    await browser.say('call add {"dish": "Soup"}')
    asked = await browser.say('call order {"dish": "Soup"}')
    heard = await browser.resume(asked.interrupts[0], {"approved": True})

    assert browser.state == {"dishes": ["Soup"]}
    assert "All for Soup is ordered." in heard.text
