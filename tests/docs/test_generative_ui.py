"""What the page on generative UI says is so."""

from __future__ import annotations

import pytest

from copilotkit_django.conf import Options
from tests.mcp_server import clock_server
from tests.talk import run_input, text_of, user_message
from tests.unit.agents.middleware.stage import Saying, calls
from tests.unit.agents.middleware.watching import activities

from .pages import Page

assistant = Saying(*calls("show_clock", '{"zone": "Rome"}'))

page = Page("how-to/generative-ui.md", mysite__agents={"assistant": assistant})


@pytest.fixture(autouse=True)
def _nothing_said_before():
    assistant.contexts.clear()


@pytest.fixture
def clock():
    with clock_server() as server:
        yield server


def at(server, settings):
    """The server of the page, at this machine."""
    given = settings.COPILOTKIT["MCP_APPS"][0]
    moved = {**given, "url": server.url, "allow_private_addresses": True}
    settings.COPILOTKIT = {**settings.COPILOTKIT, "MCP_APPS": [moved]}


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


@page("MCP Apps")
async def test_mcp_apps(project, settings, alice, clock):
    """The tool is offered and called, and its interface is there again after a reload."""
    at(clock, settings)
    settings.COPILOTKIT["MCP_APPS"][0]["headers"] = {"Authorization": "Bearer x"}

    events = (await alice.run(run_input())).events
    again = (await alice.connect(run_input())).events

    shown = [event for event in events if event["type"] == "ACTIVITY_SNAPSHOT"]
    assert shown[0]["content"]["toolInput"] == {"zone": "Rome"}
    assert shown == [event for event in again if event["type"] == "ACTIVITY_SNAPSHOT"]
    assert clock.headers[0]["authorization"] == "Bearer x"


@page("MCP Apps")
async def test_mcp_apps__options(project):
    """The table names the options there are, with their defaults."""
    from copilotkit_django.agents.middleware.mcp_apps import AppServer

    server = AppServer(url="https://a.example")

    assert (server.timeout, server.max_bytes) == (20, 5 * 1024 * 1024)
    text = (page_text()).split("### What a server can do")[0]
    for name in server.__dataclass_fields__:
        assert f"`{name}`" in text


@page("MCP Apps")
async def test_mcp_apps__headers_of_the_user(project, settings, clock, rf):
    """Headers are made of who asks."""

    class User:
        pk = 7
        is_authenticated = True

    assert project["mysite.credentials"].flights(type("C", (), {"user": User()})) == {
        "X-Customer": "7"
    }
    assert Options.load({"mcp_apps": project.settings["COPILOTKIT"]["MCP_APPS"]})


@page("MCP Apps")
async def test_mcp_apps__requests_of_apps(project, settings, alice, bob, clock):
    """What an app asks for leaves nothing behind, and takes no thread."""
    at(clock, settings)
    settings.COPILOTKIT["MCP_APPS"][0]["headers"] = None
    events = (await alice.run(run_input())).events
    (shown,) = [event for event in events if event["type"] == "ACTIVITY_SNAPSHOT"]
    content = shown["content"]

    async def ask(caller, run, **request):
        asked = {"serverHash": content["serverHash"], **request}
        wire = run_input(
            run=run,
            messages=[user_message("hi", "u-r1")],
            forwardedProps={"__proxiedMCPRequest": asked},
        )
        return (await caller.run(wire)).events[-1]["result"]

    read = await ask(alice, "r2", method="resources/read", params={"uri": content["resourceUri"]})
    wound = await ask(
        alice, "r3", method="tools/call", params={"name": "wind", "arguments": {"turns": 2}}
    )
    refused = await ask(alice, "r4", method="tools/call", params={"name": "stop"})

    assert read["contents"][0]["mimeType"] == "text/html;profile=mcp-app"
    assert wound["content"][0]["text"] == "Wound 2 times."
    assert refused == {"error": "An app may not call the tool 'stop'"}
    stored = (await alice.connect(run_input())).events
    assert [e["runId"] for e in stored if e["type"] == "RUN_STARTED"] == ["r1"]
    assert len(assistant.contexts) == 1


def page_text() -> str:
    from .pages import DOCS

    return (DOCS / page.path).read_text()


@page("Open Generative UI")
async def test_open_generative_ui(project, alice):
    """The page is shown while it is written, and is there again after a reload."""
    info = (await alice.ask("GET", "/info")).data
    events = (await alice.run(run_input())).events
    again = (await alice.connect(run_input())).events

    assert info["openGenerativeUIEnabled"] is True
    (content,) = activities(events).values()
    assert "".join(content["html"]) == "<h1>Hello</h1>"
    assert content["generating"] is False
    assert activities(again) == activities(events)


@page("A2UI")
async def test_a2ui(project, alice):
    """The form is drawn, and what is entered in it comes back to the agent."""
    info = (await alice.ask("GET", "/info")).data
    events = (await alice.run(run_input(run="r1"))).events
    again = (await alice.connect(run_input())).events
    action = {"name": "greet", "surfaceId": "r1-form", "context": {"name": "Ada"}}
    props = {"a2uiAction": {"userAction": action}}
    greeted = (await alice.run(run_input(run="r2", forwardedProps=props))).events

    assert info["a2ui"] == {"enabled": True}
    (content,) = activities(events).values()
    assert content["a2ui_operations"][2]["updateDataModel"]["value"] == {"name": "Ada"}
    assert activities(again) == activities(events)
    assert text_of(greeted) == "Hello Ada!"


def test_a2ui__options():
    """The table names the options there are."""
    from copilotkit_django.agents.middleware.a2ui import A2UIOptions

    table = page_text().split("## A2UI")[1].split("## Open Generative UI")[0]
    for name in A2UIOptions.__dataclass_fields__:
        assert f"| `{name}` |" in table
