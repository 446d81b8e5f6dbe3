"""The studio of the demo: what it makes of a wish, and the MCP server its dice come from."""

import asyncio
import json

import pytest
from django.test import RequestFactory

from copilotkit_django.agents.middleware.mcp_apps.servers import AppServer
from copilotkit_django.agents.middleware.mcp_apps.tools import usable
from demo_project.agents import studio
from demo_project.agents.dice_endpoint import MOST_DICE, TOOLS, dice_endpoint
from tests.unit.agents.middleware.stage import context_of


def answer(*messages):
    context = context_of(messages=list(messages))

    async def read():
        return [event async for event in studio.studio(context)]

    return asyncio.run(read())


def said(text):
    return {"id": "u1", "role": "user", "content": text}


def call_of(events):
    names = [e["toolCallName"] for e in events if e["type"] == "TOOL_CALL_START"]
    text = "".join(e["delta"] for e in events if e["type"] == "TOOL_CALL_ARGS")
    return names, json.loads(text) if text else None


def text_of(events):
    return "".join(e["delta"] for e in events if e["type"] == "TEXT_MESSAGE_CONTENT")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(studio.speech, "PACE", (0, 0))


@pytest.mark.parametrize(
    ("text", "tool"),
    [
        ("Roll two dice", "roll_dice"),
        ("BOOK a table", "render_a2ui"),
        ("Draw a clock", "generateSandboxedUi"),
    ],
)
def test_studio__wish(text, tool):
    """A wish is a call of the tool that draws it."""
    names, _ = call_of(answer(said(text)))

    assert names == [tool]


def test_studio__number_of_dice():
    """So many dice as were asked for."""
    assert call_of(answer(said("Roll 5 dice")))[1] == {"dice": 5}


def test_studio__help():
    """What it does not know it explains."""
    events = answer(said("Hello?"))

    assert call_of(events)[0] == []
    assert "I draw." in text_of(events)


def test_studio__form():
    """The form is a surface the toolkit finds nothing wrong with."""
    from ag_ui_a2ui_toolkit import validate_a2ui_components

    _, surface = call_of(answer(said("Book a table")))

    checked = validate_a2ui_components(components=surface["components"], data=surface["data"])
    assert checked == {"valid": True, "errors": []}


@pytest.mark.parametrize(
    ("entered", "text"),
    [
        ({"name": "Ada", "people": 3, "outside": True}, "A table outside for 3 people"),
        ({"name": "", "people": 1}, "A table inside for one person, in the name of you."),
        ({"people": "x"}, "A table inside for one person"),
    ],
)
def test_studio__booking(entered, text):
    """What was entered is confirmed, however odd."""
    action = {"name": "book", "context": entered}
    function = {"name": "log_a2ui_event", "arguments": json.dumps(action)}
    call = {"id": "c", "type": "function", "function": function}

    events = answer(
        said("Book a table"),
        {"id": "a1", "role": "assistant", "content": "", "toolCalls": [call]},
        {"id": "t1", "role": "tool", "toolCallId": "c", "content": "booked"},
    )

    assert text_of(events).startswith(text)


def test_studio__after_a_page():
    """The page's answer to a call is no new wish."""
    events = answer(
        said("Draw a clock"), {"id": "t1", "role": "tool", "toolCallId": "c", "content": "ok"}
    )

    assert call_of(events)[0] == []


def posted(message):
    body = message if isinstance(message, bytes) else json.dumps(message)
    return dice_endpoint(
        RequestFactory().post("/agents/dice", body, content_type="application/json")
    )


def asked(method, **params):
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return json.loads(posted(message).content)


def test_dice__tools():
    """One of its tools is for models, the other for its page; both can be used."""
    tools = usable(AppServer(url="http://dice.example"), asked("tools/list")["result"]["tools"])

    assert [(tool.name, tool.for_model, tool.for_apps) for tool in tools] == [
        ("roll_dice", True, True),
        ("roll_again", False, True),
    ]
    assert len(TOOLS) == 2


def test_dice__roll():
    """Dice show one to six."""
    result = asked("tools/call", name="roll_again", arguments={"dice": MOST_DICE})["result"]

    dice = result["structuredContent"]["dice"]
    assert len(dice) == MOST_DICE
    assert all(1 <= value <= 6 for value in dice)
    assert result["content"][0]["text"].endswith(f": {sum(dice)}.")


@pytest.mark.parametrize("dice", [0, 7, "two", None])
def test_dice__wrong_number(dice):
    """It has so many dice and no more."""
    result = asked("tools/call", name="roll_dice", arguments={"dice": dice})["result"]

    assert result["isError"] is True


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("server/discover", {}, -32601),
        ("tools/call", {"name": "nothing"}, -32602),
        ("resources/read", {"uri": "file:///etc/passwd"}, -32602),
    ],
)
def test_dice__refused(method, params, code):
    """What it does not know is an error."""
    assert asked(method, **params)["error"]["code"] == code


def test_dice__not_a_message():
    """A notification is taken, anything else refused."""
    assert posted({"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202
    assert posted(b"[]").status_code == 400
    assert posted(b"{").status_code == 400
