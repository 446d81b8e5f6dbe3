"""Forms of AG-UI 1.0 for clients of 0.0.59."""

from __future__ import annotations

from typing import Any

import pytest

from copilotkit_django.events.downlevel import downlevel

from .builders import FINISHED, STARTED, answer, delta, subagent

Event = dict[str, Any]

TEXT: Event = {"type": "text", "text": "x"}
FILE: Event = {"type": "image", "source": {"type": "file", "value": "file-1"}}
LINK: Event = {"type": "image", "source": {"type": "url", "value": "https://example.org"}}


def snapshot(*messages: Event) -> Event:
    return {"type": "MESSAGES_SNAPSHOT", "messages": list(messages)}


def started(*messages: Event) -> Event:
    return {**STARTED, "input": {"threadId": "t1", "runId": "r1", "messages": list(messages)}}


def user(content: Any) -> Event:
    return {"id": "u1", "role": "user", "content": content}


def tool(content: Any) -> Event:
    return {"id": "t1", "role": "tool", "toolCallId": "c1", "content": content}


INTERRUPT: Event = {"type": "interrupt", "interrupts": [{"id": "i", "reason": "r"}]}


@pytest.mark.parametrize(
    "event",
    [
        delta("m1", "x", extra={"a": None}),
        STARTED,
        started(user("x"), user([TEXT, LINK]), tool("x")),
        FINISHED,
        {**FINISHED, "outcome": {"type": "success"}},
        {**FINISHED, "outcome": INTERRUPT},
        answer(content="x"),
        snapshot({"id": "m", "role": "assistant"}),
        subagent("FINISHED", outcome={"type": "suspended", "interruptIds": ["i"]}),
    ],
)
def test_downlevel__known_form(event: Event) -> None:
    """What 0.0.59 knows is left alone."""
    assert downlevel(event) is event


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({**FINISHED, "outcome": {"type": "cancelled"}}, FINISHED),
        (
            {**FINISHED, "outcome": {"type": "success", "pendingToolCallIds": ["c1"]}},
            {**FINISHED, "outcome": {"type": "success"}},
        ),
        (
            {**FINISHED, "outcome": {**INTERRUPT, "note": 1}},
            {**FINISHED, "outcome": INTERRUPT},
        ),
        (
            subagent("FINISHED", outcome={"type": "success", "note": 1}),
            subagent("FINISHED", outcome={"type": "success"}),
        ),
        (answer(content=[TEXT, FILE, TEXT]), answer(content="xx")),
        (
            answer(content=[FILE]),
            answer(content='[{"type":"image","source":{"type":"file","value":"file-1"}}]'),
        ),
        (answer(content=[]), answer(content="[]")),
        (snapshot(user([TEXT, FILE, LINK])), snapshot(user([TEXT, LINK]))),
        (snapshot(user([FILE]), tool([TEXT])), snapshot(user([]), tool("x"))),
        (started(user("a"), tool([TEXT])), started(user("a"), tool("x"))),
    ],
)
def test_downlevel__newer_form(event: Event, expected: Event) -> None:
    """What 0.0.59 would end the stream over is said in its words."""
    assert downlevel(event) == expected


def test_downlevel__unknown_type() -> None:
    """A type it does not know is dropped."""
    assert downlevel({"type": "SOMETHING_NEW"}) is None
