"""The studio: an agent that answers with interfaces instead of words.

There is no model behind it. It does what a model with these tools would do: it calls one of them,
and the middleware around it draws what comes of the call.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import cache
from typing import Any

from copilotkit_django.agents import Agent, FunctionAgent, RunContext
from copilotkit_django.agents.middleware.mcp_apps import MCPApps
from demo_project.agents import speech
from demo_project.agents.speech import Event, call, say

INTRODUCTION = """\
I draw. Ask me for one of these:

- **dice**: an app of an MCP server, in a frame of its own
- **a table**: a form made of the components of a catalogue (A2UI)
- **a clock**: a whole page, written while you watch (Open Generative UI)
"""

FORM = [
    {"id": "root", "component": "Card", "child": "form"},
    {
        "id": "form",
        "component": "Column",
        "children": ["title", "name", "people", "outside", "book"],
    },
    {"id": "title", "component": "Text", "text": "Book a table", "variant": "h3"},
    {"id": "name", "component": "TextField", "label": "Name", "value": {"path": "/name"}},
    {
        "id": "people",
        "component": "Slider",
        "label": "People",
        "min": 1,
        "max": 8,
        "value": {"path": "/people"},
    },
    {
        "id": "outside",
        "component": "CheckBox",
        "label": "Outside, if it is warm",
        "value": {"path": "/outside"},
    },
    {
        "id": "book",
        "component": "Button",
        "variant": "primary",
        "child": "book-label",
        "action": {
            "event": {
                "name": "book",
                "context": {
                    "name": {"path": "/name"},
                    "people": {"path": "/people"},
                    "outside": {"path": "/outside"},
                },
            }
        },
    },
    {"id": "book-label", "component": "Text", "text": "Book"},
]

CLOCK = {
    "initialHeight": 260,
    "placeholderMessages": ["Winding the clock…"],
    "css": """\
body { margin: 0; display: grid; place-items: center; min-height: 240px; font: 15px system-ui }
.face { width: 180px; height: 180px; border: 6px solid #0f766e; border-radius: 50%;
  position: relative; background: #f0fdfa }
.hand { position: absolute; left: 50%; bottom: 50%; width: 4px; margin-left: -2px; height: 60px;
  background: #134e4a; border-radius: 2px; transform-origin: bottom }
#seconds { background: #f97316; height: 76px; width: 2px; margin-left: -1px }
#hours { height: 44px }""",
    "html": """\
<div class="face" role="img" aria-label="A clock">
  <div class="hand" id="hours"></div>
  <div class="hand" id="minutes"></div>
  <div class="hand" id="seconds"></div>
</div>
<p id="time">Ticking…</p>""",
    "jsFunctions": """\
function tick() {
  const now = new Date();
  const turn = (id, part) => {
    document.getElementById(id).style.transform = `rotate(${part * 360}deg)`;
  };
  turn("seconds", now.getSeconds() / 60);
  turn("minutes", now.getMinutes() / 60);
  turn("hours", ((now.getHours() % 12) + now.getMinutes() / 60) / 12);
  document.getElementById("time").textContent = "It is " + now.toLocaleTimeString();
}""",
    "jsExpressions": ["tick()", "setInterval(tick, 1000)"],
}


async def studio(context: RunContext) -> AsyncIterator[Event]:
    """Answers with an app, a form or a page."""
    yield context.started()
    texts = speech.user_texts(context.messages)
    if speech.is_suggestion_run(context.input.forwarded_props):
        events = speech.suggest(suggestions(texts[:-1]))
    elif booking := booked(context.messages[-2:]):
        events = say(confirmation(booking))
    elif context.messages and context.messages[-1]["role"] == "tool":
        # The page has answered a call of a tool of its own, and wants to know what comes next.
        events = say("There it goes.")
    else:
        events = drawn(texts[-1] if texts else "", context.run_id)
    async for event in events:
        yield event
    yield context.finished()


async def drawn(said: str, run_id: str) -> AsyncIterator[Event]:
    """A word about it, and the call of a tool that draws what was asked for."""
    wish = said.lower()
    events: Iterable[AsyncIterator[Event]]
    if re.search(r"\b(?:dice|die|roll)\b", wish):
        number = re.search(r"\d", wish)
        events = (
            say("Here they are."),
            call("roll_dice", {"dice": int(number[0]) if number else 2}),
        )
    elif re.search(r"\b(?:table|book|form)\b", wish):
        surface = {
            "surfaceId": f"table-{run_id}",
            "components": FORM,
            "data": {"name": "", "people": 2, "outside": False},
        }
        events = (say("Who is coming?"), call("render_a2ui", surface, pieces=40))
    elif re.search(r"\b(?:clock|page|time)\b", wish):
        events = (say("One moment."), call("generateSandboxedUi", CLOCK, pieces=60))
    else:
        events = (say(INTRODUCTION),)
    for part in events:
        async for event in part:
            yield event


def booked(messages: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What was entered in the form, if that is what the run is about."""
    for message in messages:
        for tool_call in message.get("toolCalls") or ():
            if tool_call["function"]["name"] == "log_a2ui_event":
                action = json.loads(tool_call["function"]["arguments"])
                entered = action.get("context")
                return entered if isinstance(entered, dict) else {}
    return None


def confirmation(booking: Mapping[str, Any]) -> str:
    people = booking.get("people")
    number = people if isinstance(people, (int, float)) else 1
    where = "outside" if booking.get("outside") else "inside"
    name = str(booking.get("name") or "you")[:80]
    guests = "one person" if number == 1 else f"{number:g} people"
    return f"A table {where} for {guests}, in the name of {name}. See you tonight!"


def suggestions(texts: list[str]) -> list[tuple[str, str]]:
    wishes = [
        ("Roll dice", "Roll two dice"),
        ("Book a table", "Book a table"),
        ("Draw a clock", "Draw a clock"),
    ]
    return [wish for wish in wishes if wish[1] not in texts] or wishes


@cache
def studio_with(dice_url: str) -> Agent:
    """The agent, with the apps of the MCP server at that address."""
    # The server is this very process, which is in a private network.
    server = {"url": dice_url, "server_id": "dice", "allow_private_addresses": True}
    agent = FunctionAgent(studio, name="Studio", description="Draws apps, forms and pages.")
    return agent.use(MCPApps([server]))
