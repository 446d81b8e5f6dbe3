"""A model of every provider, asked by the provider's own client."""

from __future__ import annotations

import json

import pytest

from copilotkit_django import tool
from copilotkit_django.testing import Answer, Reasoning, Text, ToolCall, Usage
from tests.talk import kinds, run_input, text_of

from .conftest import MODELS
from .conversation import Page, called

WEATHER = {
    "name": "showWeather",
    "description": "Show the weather.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@tool
def population(city: str) -> dict[str, int]:
    """How many people live somewhere.

    Args:
        city: The name of the city.
    """
    return {"people": 42}


async def test_text__streamed(serve, llm, alice, provider) -> None:
    """A text reaches the page piece by piece, in one message of an id of its own."""
    llm.script = lambda prompt: Answer([Text("Hello there, you.")], usage=Usage(11, 7))
    serve(MODELS[provider], prompt="You are a clock.")

    events = (await alice.run(run_input("hi"))).events

    assert kinds(events) == [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        *["TEXT_MESSAGE_CONTENT"] * 3,
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    assert text_of(events) == "Hello there, you."
    assert len({event["messageId"] for event in events[1:-1]}) == 1
    (usage,) = events[-1]["usage"]
    assert (usage["inputTokens"], usage["outputTokens"], usage["totalTokens"]) == (11, 7, 18)
    assert usage["model"]
    assert usage["provider"] == provider.removesuffix("-responses")
    (prompt,) = llm.prompts
    assert prompt.provider == provider
    assert prompt.stream
    assert prompt.system == "You are a clock."
    assert [(message.role, message.text) for message in prompt.messages] == [("user", "hi")]
    assert prompt.tool_names == ["AGUISendStateSnapshot", "AGUISendStateDelta"]


async def test_reasoning__before_the_text(serve, llm, alice, provider) -> None:
    """What the model thinks is a message of its own, closed before the text begins."""
    llm.script = lambda prompt: [Reasoning("Let me see."), Text("Tuesday.")]
    serve(MODELS[provider])

    events = (await alice.run(run_input("What day is it?"))).events

    sealed = ("REASONING_ENCRYPTED_VALUE",) if provider == "anthropic" else ()
    assert tuple(kind for kind in kinds(events) if "ENCRYPTED" in kind) == sealed
    spoken = [kind for kind in kinds(events) if not kind.endswith(("_CONTENT", "_VALUE"))]
    assert spoken == [
        "RUN_STARTED",
        "REASONING_START",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_END",
        "REASONING_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    thought = "".join(e["delta"] for e in events if e["type"] == "REASONING_MESSAGE_CONTENT")
    assert thought == "Let me see."
    ids = {e.get("messageId", e.get("entityId")) for e in events if "REASONING" in e["type"]}
    assert len(ids) == 1
    assert text_of(events) == "Tuesday."


async def test_server_tool__answer_with_its_result(serve, llm, alice, provider) -> None:
    """A tool of the server is called, its result told to page and model, and the model goes on."""
    llm.script = lambda prompt: (
        "There are 42." if prompt.tool_results else ToolCall("population", {"city": "Rome"})
    )
    serve(MODELS[provider], tools=[population])

    events = (await alice.run(run_input("How many?"))).events

    assert [kind for kind in kinds(events) if kind != "TOOL_CALL_ARGS"] == [
        "RUN_STARTED",
        "TOOL_CALL_START",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    start, result = events[1], next(e for e in events if e["type"] == "TOOL_CALL_RESULT")
    arguments = "".join(e["delta"] for e in events if e["type"] == "TOOL_CALL_ARGS")
    assert start["toolCallName"] == "population"
    assert start["parentMessageId"] not in ("", start["toolCallId"])
    assert json.loads(arguments) == {"city": "Rome"}
    assert result["role"] == "tool"
    assert result["toolCallId"] == start["toolCallId"]
    assert json.loads(result["content"]) == {"people": 42}
    assert len({result["messageId"], start["parentMessageId"], events[-2]["messageId"]}) == 3
    first, second = llm.prompts
    assert "population" in first.tool_names
    assert json.loads(second.tool_results[0].text) == {"people": 42}
    assert sum(entry["inputTokens"] for entry in events[-1]["usage"]) == 22


async def test_frontend_tool__follow_up_run(serve, llm, alice, provider) -> None:
    """A call of a tool of the page ends the run; its result comes with the next."""
    llm.script = lambda prompt: (
        f"Shown: {prompt.tool_results[0].text}"
        if prompt.tool_results
        else [Text("Look:"), ToolCall("showWeather", {"city": "Rome"})]
    )
    serve(MODELS[provider])
    wire = run_input("Weather?", tools=[WEATHER])

    first = (await alice.run(wire)).events

    assert "TOOL_CALL_RESULT" not in kinds(first)
    assert first[-1]["type"] == "RUN_FINISHED"
    start = next(event for event in first if event["type"] == "TOOL_CALL_START")
    text = next(event for event in first if event["type"] == "TEXT_MESSAGE_START")
    assert start["parentMessageId"] == text["messageId"]
    call = {
        "id": start["toolCallId"],
        "type": "function",
        "function": {"name": "showWeather", "arguments": '{"city":"Rome"}'},
    }
    answered = [
        *wire["messages"],
        {"id": text["messageId"], "role": "assistant", "content": "Look:", "toolCalls": [call]},
        {"id": "t1", "role": "tool", "toolCallId": call["id"], "content": "Sunny"},
    ]
    second = (await alice.run(run_input(run="r2", messages=answered, tools=[WEATHER]))).events

    # Gemini takes results as objects only.
    assert text_of(second) in ("Shown: Sunny", 'Shown: {"return_value": "Sunny"}')
    assert second[-1]["type"] == "RUN_FINISHED"


@pytest.mark.parametrize("modern", [False, True])
async def test_frontend_tool__pending(serve, llm, alice, modern) -> None:
    """Clients of protocol 1.0 are told which calls wait for them; others as they always were."""
    llm.script = lambda prompt: ToolCall("showWeather", {"city": "Rome"}, id="call_7")
    serve()
    more = {"protocolVersion": "1.0"} if modern else {}

    events = (await alice.run(run_input("Weather?", tools=[WEATHER], **more))).events

    expected = {"type": "success", "pendingToolCallIds": ["call_7"]} if modern else None
    assert events[-1].get("outcome") == expected


async def test_thinking__goes_back_to_its_provider(serve, llm, alice) -> None:
    """Anthropic wants thinking back, signed, in front of the call it led to; others do not."""
    llm.script = lambda prompt: (
        "Sunny it is."
        if prompt.tool_results
        else [Reasoning("Rome, then."), ToolCall("showWeather", {"city": "Rome"})]
    )
    serve(MODELS["anthropic"], overridable_properties=["model"])
    page = Page(tools=[WEATHER])
    first = page.hear((await alice.run(page.say("Weather?"))).events)
    replayed = (await alice.connect(run_input(messages=[]))).events
    assert "REASONING_ENCRYPTED_VALUE" in kinds(replayed)
    wire = page.answer(called(first, "showWeather"), "Sunny")

    assert text_of((await alice.run(wire)).events) == "Sunny it is."
    elsewhere = {**wire, "runId": "r9", "forwardedProps": {"model": MODELS["openai"]}}
    assert text_of((await alice.run(elsewhere)).events) == "Sunny it is."

    _, second, other = llm.prompts
    (turn,) = [m["content"] for m in second.body["messages"] if m["role"] == "assistant"]
    assert [block["type"] for block in turn] == ["thinking", "tool_use"]
    assert turn[0]["thinking"] == "Rome, then."
    assert turn[0]["signature"] == "c2lnbmVk"
    assert "Rome, then." not in str(other.body)
