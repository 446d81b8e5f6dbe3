"""Calls the person has a say in: interrupt tools, and tools that ask before they act."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils.translation import gettext_lazy

from copilotkit_django import ToolContext, tool
from copilotkit_django.testing import Text, ToolCall
from tests.talk import kinds, run_input, text_of

from .conftest import MODELS
from .conversation import Page, called, results


@tool(interrupt=True, interrupt_message="Which one?")
def choose(options: list[str]) -> str:
    """Let the user choose."""


@tool(interrupt=True, interrupt_reason="booking")
def book(date: str) -> str:
    """Let the user pick a seat."""


def calls(name: str, arguments: dict[str, Any], then: str = "I see: {}"):
    return lambda prompt: (
        then.format(prompt.tool_results[-1].text)
        if prompt.tool_results
        else ToolCall(name, arguments)
    )


async def test_interrupt_tool__resumed(serve, llm, alice, provider) -> None:
    """A call of an interrupt tool ends the run; what the page answers is its result."""
    llm.script = calls("choose", {"options": ["a", "b"]})
    serve(MODELS[provider], tools=[choose])
    page = Page()

    first = page.hear((await alice.run(page.say("Go"))).events)

    call_id = called(first, "choose")
    assert first[-1]["outcome"] == {
        "type": "interrupt",
        "interrupts": [
            {"id": call_id, "reason": "tool_call", "toolCallId": call_id, "message": "Which one?"}
        ],
    }
    assert results(first) == {}
    answer = {"interruptId": call_id, "status": "resolved", "payload": {"choice": "b"}}
    second = page.hear((await alice.run(page.resume(answer))).events)

    assert json.loads(results(second)[call_id]) == {"choice": "b"}
    assert json.loads(text_of(second).removeprefix("I see: ")) == {"choice": "b"}
    assert "outcome" not in second[-1]


@pytest.mark.parametrize("reason", ["tool_call", "tool_approval"])
async def test_question__translated(serve, llm, alice, reason) -> None:
    """Questions and descriptions may be lazy translations."""
    text = gettext_lazy("Delete")
    if reason == "tool_call":
        options: dict[str, Any] = {"interrupt": True, "interrupt_message": text}
    else:
        options = {"destructive": True, "approval_message": text}

    @tool(description=text, **options)
    def remove() -> str:
        return "Removed."

    llm.script = calls("remove", {})
    serve(tools=[remove])

    events = (await alice.run(run_input())).events

    (interrupt,) = events[-1]["outcome"]["interrupts"]
    assert (interrupt["reason"], interrupt["message"]) == (reason, "Delete")
    assert [tool["description"] for tool in llm.prompts[0].tools if tool["name"] == "remove"] == [
        "Delete"
    ]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"status": "cancelled"}, {"status": "cancelled"}),
        ({"status": "cancelled", "payload": "late"}, {"status": "cancelled"}),
        ({"status": "resolved"}, {"status": "resolved"}),
        ({"status": "resolved", "payload": "seat 4"}, "seat 4"),
        ({"status": "resolved", "payload": False}, False),
    ],
)
async def test_interrupt_tool__ways_to_answer(serve, llm, alice, entry, expected) -> None:
    """A cancelled interrupt is a result that says so, and so is one resolved without a payload."""
    llm.script = calls("book", {"date": "today"}, then="ok")
    serve(tools=[book])
    page = Page()
    first = page.hear((await alice.run(page.say("Go"))).events)
    call_id = called(first, "book")
    assert first[-1]["outcome"]["interrupts"][0]["reason"] == "booking"

    second = (await alice.run(page.resume({"interruptId": call_id, **entry}))).events

    assert json.loads(results(second)[call_id]) == expected
    assert text_of(second) == "ok"


async def test_interrupt_tool__answered_by_a_message(serve, llm, alice) -> None:
    """The official client sends a tool message beside the entry; then there is no second result."""
    llm.script = calls("choose", {"options": []})
    serve(tools=[choose])
    page = Page()
    first = page.hear((await alice.run(page.say("Go"))).events)
    call_id = called(first, "choose")
    page.answer(call_id, '{"choice": "a"}')

    answer = {"interruptId": call_id, "status": "resolved", "payload": {"choice": "z"}}
    second = (await alice.run(page.resume(answer))).events

    assert results(second) == {}
    assert json.loads(text_of(second).removeprefix("I see: ")) == {"choice": "a"}


async def test_interrupt_tool__beside_a_server_tool(serve, llm, alice) -> None:
    """What can be carried out is, before the run waits for the rest."""

    @tool
    def now() -> str:
        """The time."""
        return "noon"

    llm.script = lambda prompt: (
        ", ".join(result.text for result in prompt.tool_results)
        if prompt.tool_results
        else [ToolCall("now"), ToolCall("choose", {"options": []})]
    )
    serve(tools=[now, choose])
    page = Page()
    first = page.hear((await alice.run(page.say("Go"))).events)

    assert results(first) == {called(first, "now"): '"noon"'}
    call_id = called(first, "choose")
    assert [each["id"] for each in first[-1]["outcome"]["interrupts"]] == [call_id]

    answer = {"interruptId": call_id, "status": "resolved", "payload": "b"}
    second = (await alice.run(page.resume(answer))).events

    assert text_of(second) == "noon, b"


@pytest.fixture
def deleted() -> list[str]:
    return []


@pytest.fixture
def delete(deleted: list[str]) -> Any:
    @tool(destructive=True, approval_message="Delete it?")
    def delete(name: str) -> str:
        """Delete something."""
        deleted.append(name)
        return f"{name} is gone."

    return delete


async def test_destructive_tool__approved(serve, llm, alice, provider, delete, deleted) -> None:
    """Nothing happens before the person has agreed; then it happens, once."""
    llm.script = calls("delete", {"name": "x"}, then="Gone.")
    serve(MODELS[provider], tools=[delete])
    page = Page()

    first = page.hear((await alice.run(page.say("Delete x"))).events)

    call_id = called(first, "delete")
    (interrupt,) = first[-1]["outcome"]["interrupts"]
    assert (interrupt["id"], interrupt["toolCallId"]) == (call_id, call_id)
    assert interrupt["reason"] == "tool_approval"
    assert interrupt["message"] == "Delete it?"
    assert deleted == []
    yes = {"interruptId": call_id, "status": "resolved", "payload": {"approved": True}}
    second = page.hear((await alice.run(page.resume(yes))).events)

    assert deleted == ["x"]
    assert kinds(second)[:2] == ["RUN_STARTED", "TOOL_CALL_RESULT"]
    assert results(second) == {call_id: '"x is gone."'}
    assert text_of(second) == "Gone."
    assert "x is gone." in llm.prompts[-1].tool_results[0].text


@pytest.mark.parametrize(
    "entry",
    [
        {"status": "cancelled"},
        {"status": "resolved"},
        {"status": "resolved", "payload": {"approved": False, "reason": "too early"}},
        {"status": "resolved", "payload": {"approved": "yes"}},
    ],
)
async def test_destructive_tool__refused(serve, llm, alice, delete, deleted, entry) -> None:
    """Whatever is no clear yes is a no, which the model is told, with the reason if any."""
    llm.script = calls("delete", {"name": "x"})
    serve(tools=[delete])
    page = Page()
    first = page.hear((await alice.run(page.say("Delete x"))).events)
    call_id = called(first, "delete")

    second = (await alice.run(page.resume({"interruptId": call_id, **entry}))).events

    assert deleted == []
    assert "refused" in json.loads(results(second)[call_id])["error"]
    assert "refused" in text_of(second)
    reason = (entry.get("payload") or {}).get("reason", "")
    assert reason in text_of(second)


async def test_tool__that_asks_itself(serve, llm, alice) -> None:
    """A tool may look at its arguments before it asks."""

    @tool
    async def pay(context: ToolContext, amount: int) -> str:
        """Pay."""
        if amount > 100:
            context.require_approval(f"Pay {amount}?", {"amount": amount})
        return f"Paid {amount}."

    llm.script = lambda prompt: (
        "Done."
        if len(prompt.tool_results) == 2
        else [Text("Ok."), ToolCall("pay", {"amount": 5}), ToolCall("pay", {"amount": 500})]
    )
    serve(tools=[pay])
    page = Page()
    first = page.hear((await alice.run(page.say("Pay"))).events)

    assert list(results(first).values()) == ['"Paid 5."']
    (interrupt,) = first[-1]["outcome"]["interrupts"]
    assert interrupt["message"] == "Pay 500?"
    assert interrupt["metadata"]["amount"] == 500
    yes = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}
    second = (await alice.run(page.resume(yes))).events

    assert results(second) == {interrupt["id"]: '"Paid 500."'}
    assert text_of(second) == "Done."


async def test_resume__of_calls_there_are_not(serve, llm, alice, delete, deleted) -> None:
    """An answer to nothing is nothing: no call is made that the conversation does not hold."""
    serve(tools=[delete])
    yes = {"interruptId": "call_404", "status": "resolved", "payload": {"approved": True}}

    events = (await alice.run(run_input("hi", resume=[yes]))).events

    assert deleted == []
    assert results(events) == {}
    assert text_of(events) == "You said: hi"


async def test_conversation__goes_on_without_an_answer(serve, llm, alice, delete, deleted) -> None:
    """Who writes something else instead is answered; the call that waits is told to be void."""
    llm.script = lambda prompt: (
        "Fine." if prompt.last_user_text == "Never mind" else ToolCall("delete", {"name": "x"})
    )
    serve(tools=[delete])
    page = Page()
    page.hear((await alice.run(page.say("Delete x"))).events)

    events = (await alice.run(page.say("Never mind"))).events

    assert deleted == []
    assert text_of(events) == "Fine."
    interrupted = next(m for m in llm.prompts[-1].messages if m.role == "tool")
    assert "interrupted" in interrupted.text
