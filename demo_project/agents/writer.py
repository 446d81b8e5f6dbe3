"""The writer: long streamed Markdown, with its reasoning and steps shown on the way.

There is no model behind it. Drafts come from `drafts.py`; the same topic gives the same text.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from copilotkit_django.agents import RunContext, agent
from demo_project.agents import drafts, speech
from demo_project.agents.speech import Event, say, think

#: Seconds between two words; a page of text should not take all day.
PACE = (0.012, 0.022)

INTRODUCTION = """\
I write. Give me a topic, and a form if you care about it:

- **write about** lighthouses
- **a poem about** the sea
- **an email about** moving the Friday meeting
- **a plan for** learning the cello

Afterwards say *shorter*, *as a poem* or *as an email*, and I turn the same topic around.
"""


@agent(name="Writer", description="Streams articles, poems, emails and plans as Markdown.")
async def writer(context: RunContext) -> AsyncIterator[Event]:
    yield context.started()
    texts = speech.user_texts(context.messages)
    if speech.is_suggestion_run(context.input.forwarded_props):
        # The last message is the client's instruction, not something the person wrote.
        events = speech.suggest(suggestions(texts[:-1]))
    elif brief := drafts.understand(texts):
        events = write(brief)
    else:
        events = say(INTRODUCTION)
    async for event in events:
        yield event
    yield context.finished()


async def write(brief: drafts.Brief) -> AsyncIterator[Event]:
    yield step("STEP_STARTED", "Outline")
    async for event in think(drafts.reasoning(brief)):
        yield event
    yield step("STEP_FINISHED", "Outline")
    yield step("STEP_STARTED", "Draft")
    await asyncio.sleep(0.2)
    async for event in say(drafts.draft(brief), pace=PACE):
        yield event
    yield step("STEP_FINISHED", "Draft")


def step(kind: str, name: str) -> Event:
    return {"type": kind, "stepName": name}


def suggestions(texts: list[str]) -> list[tuple[str, str]]:
    brief = drafts.understand(texts)
    if brief is None:
        return [
            ("About lighthouses", "Write about lighthouses"),
            ("A poem about the sea", "A poem about the sea"),
            ("A plan for learning the cello", "A plan for learning the cello"),
        ]
    forms: list[tuple[str, str]] = [
        ("Shorter", "Shorter"),
        ("As a poem", "As a poem"),
        ("As an email", "As an email"),
        ("As a plan", "As a plan"),
    ]
    used = {"poem": "As a poem", "email": "As an email", "plan": "As a plan"}.get(brief.form)
    return [
        form for form in forms if form[0] != used and (form[0] != "Shorter" or not brief.short)
    ][:3]
