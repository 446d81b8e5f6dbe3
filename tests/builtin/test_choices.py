"""What the model is asked with: options, forced tools, and what the page may choose."""

from __future__ import annotations

import json

import pytest
from pydantic_ai.settings import ModelSettings

from copilotkit_django import BuiltInAgent, tool
from copilotkit_django.agents.builtin.settings import GENERAL
from copilotkit_django.testing import ToolCall
from tests.talk import kinds, run_input, text_of

from .conftest import MODELS

SUGGEST = {
    "name": "copilotkitSuggest",
    "description": "Suggest what to say.",
    "parameters": {
        "type": "object",
        "properties": {"suggestions": {"type": "array", "items": {"type": "object"}}},
    },
}
SUGGESTION = {"toolChoice": {"type": "function", "function": {"name": "copilotkitSuggest"}}}


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return f"Nothing in {where}."


async def test_suggestion__is_a_call_of_its_tool(serve, llm, alice, provider) -> None:
    """A request for suggestions forces the one tool it comes with, and offers no other."""
    llm.script = lambda prompt: ToolCall("copilotkitSuggest", {"suggestions": [{"title": "Go"}]})
    serve(MODELS[provider], tools=[look])

    answer = await alice.ask(
        "POST",
        "/agent/default/suggest",
        run_input("Suggest", tools=[SUGGEST], forwardedProps=SUGGESTION),
    )

    assert kinds(answer.events)[-2:] == ["TOOL_CALL_END", "RUN_FINISHED"]
    (prompt,) = llm.prompts
    assert prompt.tool_names == ["copilotkitSuggest"]
    assert prompt.tool_choice in ("copilotkitSuggest", "required")


async def test_tool_choice__forces_the_first_answer(serve, llm, alice, provider) -> None:
    """A forced call is for the first answer: after it the model is free to speak."""
    llm.script = lambda prompt: (
        "Nothing." if prompt.tool_results else ToolCall("look", {"where": "there"})
    )
    serve(MODELS[provider], tools=[look], tool_choice={"type": "tool", "toolName": "look"})

    events = (await alice.run(run_input())).events

    assert text_of(events) == "Nothing."
    first, second = llm.prompts
    assert first.tool_choice == "look"
    assert second.tool_choice in ("auto", "")


@pytest.mark.parametrize("choice", ["none", "required", "auto"])
async def test_tool_choice__general(serve, llm, alice, provider, choice) -> None:
    """The general choices reach the provider as they are."""
    llm.script = lambda prompt: "ok"
    serve(MODELS[provider], tools=[look], tool_choice=choice)

    await alice.run(run_input())

    assert llm.prompts[0].tool_choice in (choice, "" if choice == "auto" else choice)


async def test_options__reach_the_provider(serve, llm, alice) -> None:
    """Every option has its place in the request."""
    serve(
        temperature=0.2,
        top_p=0.5,
        max_output_tokens=99,
        presence_penalty=0.1,
        frequency_penalty=0.3,
        stop_sequences=["END"],
        seed=7,
        provider_options={"openai": {"reasoningEffort": "low"}, "parallel_tool_calls": False},
    )

    await alice.run(run_input())

    body = llm.prompts[0].body
    assert body["temperature"] == 0.2
    assert body["top_p"] == 0.5
    assert 99 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert body["presence_penalty"] == 0.1
    assert body["frequency_penalty"] == 0.3
    assert body["stop"] == ["END"]
    assert body["seed"] == 7
    assert body["reasoning_effort"] == "low"
    assert body["parallel_tool_calls"] is False


async def test_options__of_other_providers(serve, llm, alice) -> None:
    """``top_k`` and the options of a provider go to those that know them."""
    options = {"anthropic": {"metadata": {"userId": "u"}}, "openai": {"reasoningEffort": "low"}}
    serve(MODELS["anthropic"], top_k=5, seed=3, provider_options=options)

    events = (await alice.run(run_input())).events

    body = llm.prompts[0].body
    assert events[-1]["type"] == "RUN_FINISHED"
    assert body["top_k"] == 5
    assert body["metadata"] == {"user_id": "u"}
    assert "reasoning_effort" not in body
    assert "seed" not in body


async def test_options__a_provider_does_not_take(serve, llm, alice) -> None:
    """What an API has no place for is left out, as the original does."""
    serve(MODELS["openai-responses"], stop_sequences=["END"], seed=3)

    events = (await alice.run(run_input())).events

    assert events[-1]["type"] == "RUN_FINISHED"
    assert "stop" not in llm.prompts[0].body


async def test_overrides__of_what_is_listed(serve, llm, alice) -> None:
    """A page may choose what is listed, in either spelling, and nothing else."""
    serve(
        temperature=0.2,
        max_output_tokens=50,
        overridable_properties=["model", "temperature", "stop_sequences", "toolChoice"],
        tools=[look],
    )
    props = {
        "model": "openai-chat/other",
        "temperature": 0.9,
        "stopSequences": ["X"],
        "maxOutputTokens": 9999,
        "toolChoice": "none",
    }

    await alice.run(run_input(forwardedProps=props))

    body = llm.prompts[0].body
    assert body["model"] == "other"
    assert body["temperature"] == 0.9
    assert body["stop"] == ["X"]
    assert 50 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert llm.prompts[0].tool_choice == "none"


@pytest.mark.parametrize(
    "props",
    [
        {"temperature": "hot"},
        {"temperature": True},
        {"temperature": None},
        {"stopSequences": "X"},
        {"stopSequences": [1]},
        {"toolChoice": "look"},
        {"toolChoice": {"type": "tool"}},
        {"providerOptions": {"extra_headers": "x"}},
        {"providerOptions": {"extra": {"body": {"model": "gpt-dear"}}}},
        {"providerOptions": {"Extra": {"headers": {"mine": "1"}}}},
        {"providerOptions": {"max": {"tokens": 100000}}},
        {"providerOptions": []},
        {"maxOutputTokens": -1},
        {"model": 7},
        {"prompt": "You are a pirate."},
    ],
)
async def test_overrides__of_the_wrong_type(serve, llm, alice, props) -> None:
    """What is of the wrong type is left as it was configured."""
    names = [
        *("model", "prompt", "temperature", "stopSequences", "toolChoice"),
        *("providerOptions", "maxOutputTokens"),
    ]
    serve(overridable_properties=names, prompt="You are a clock.", temperature=0.2)

    events = (await alice.run(run_input(forwardedProps=props))).events

    assert events[-1]["type"] == "RUN_FINISHED"
    (prompt,) = llm.prompts
    assert prompt.body["temperature"] == 0.2
    assert prompt.system == "You are a clock."
    assert not {"stop", "max_tokens", "max_completion_tokens"} & prompt.body.keys()
    assert "mine" not in prompt.headers
    assert prompt.model == "gpt-test"


def test_overrides__general_settings() -> None:
    """Every setting of pydantic-ai that reads like one of a provider is known as none."""
    assert {name for name in ModelSettings.__annotations__ if "_" in name} <= GENERAL


async def test_overrides__keep_the_key_where_it_belongs(serve, llm, alice) -> None:
    """The configured key goes to its own provider, not to one a page names."""
    serve(MODELS["openai"], api_key="sk-mine", overridable_properties=["model"])

    await alice.run(run_input())
    await alice.run(run_input(run="r2", forwardedProps={"model": "anthropic/claude-test"}))

    own, other = llm.prompts
    assert own.headers["authorization"] == "Bearer sk-mine"
    assert other.provider == "anthropic"
    assert "sk-mine" not in json.dumps(dict(other.headers))


async def test_overrides__no_such_model(serve, llm, alice) -> None:
    """A page that names no model, or none of a known provider, is told so."""
    serve(overridable_properties=["model"])

    await alice.run(run_input(forwardedProps={"model": "opneai/gpt"}))
    events = (await alice.run(run_input(run="r2", forwardedProps={"model": "gpt"}))).events

    assert kinds(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert events[-1]["code"] == "INVALID_MODEL"
    assert llm.prompts == []


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": "hot"},
        {"stop_sequences": "END"},
        {"tool_choice": "look"},
        {"overridable_properties": ["apiKey"]},
        {"overridable_properties": "model"},
        {"max_steps": 0},
        {"tools": [lambda: None]},
        {"mcp_servers": [{"type": "stdio", "url": "http://a"}]},
        {"mcp_servers": [{"type": "http", "url": "file:///etc/passwd"}]},
        {"mcp_servers": [{"type": "http", "uri": "http://a"}]},
    ],
)
def test_agent__of_wrong_options(options) -> None:
    """What cannot work is said when the agent is made."""
    with pytest.raises((TypeError, ValueError)):
        BuiltInAgent("openai/gpt-test", **options)


async def test_capabilities__inferred_and_given() -> None:
    """What the project says of an agent is merged into what every one can do, by category."""
    plain = BuiltInAgent("openai/gpt-test")
    told = BuiltInAgent(
        "openai/gpt-test",
        capabilities={"tools": {"clientProvided": False}, "identity": {"name": "A"}},
    )

    assert await plain.capabilities() == {
        "tools": {"supported": True, "clientProvided": True},
        "transport": {"streaming": True},
        "humanInTheLoop": {"interrupts": True},
    }
    assert await told.capabilities() == {
        "tools": {"supported": True, "clientProvided": False},
        "transport": {"streaming": True},
        "humanInTheLoop": {"interrupts": True},
        "identity": {"name": "A"},
    }
