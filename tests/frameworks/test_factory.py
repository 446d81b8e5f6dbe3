"""A chat model of LangChain, as what a factory of the built-in agent returns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from copilotkit_django import BuiltInAgent
from copilotkit_django.agents.builtin import FactoryContext
from copilotkit_django.testing import Answer, Text, ToolCall, Usage
from tests.builtin.conversation import called
from tests.builtin.test_providers import WEATHER
from tests.talk import kinds, run_input, text_of

langchain_openai = pytest.importorskip("langchain_openai")


@pytest.mark.parametrize("is_bound", [False, True])
async def test_chat_model__answers(serve, llm, alice, is_bound) -> None:
    """The model is asked with the conversation and the page's tools, and its chunks are sent."""
    llm.script = lambda prompt: Answer(
        [Text("Look there:"), ToolCall("showWeather", {"city": "Rome"}, id="call_a")],
        usage=Usage(5, 6),
    )

    async def factory(context: FactoryContext) -> Any:
        model = langchain_openai.ChatOpenAI(
            model="gpt-test", base_url=llm.base_url(), api_key="any", stream_usage=True
        )
        return model.bind_tools(context.openai_tools) if is_bound else model

    serve(agents={"default": BuiltInAgent(factory=factory)})
    call = {"id": "c1", "type": "function", "function": {"name": "old", "arguments": "{}"}}
    messages = [
        {"id": "u1", "role": "user", "content": "Before"},
        {"id": "a1", "role": "assistant", "content": "Wait", "toolCalls": [call]},
        {"id": "t1", "role": "tool", "toolCallId": "c1", "content": "done"},
        {"id": "u2", "role": "user", "content": "Weather?"},
    ]

    events = (await alice.run(run_input(messages=messages, tools=[WEATHER]))).events

    assert kinds(events)[-1] == "RUN_FINISHED"
    assert text_of(events) == "Look there:"
    assert called(events, "showWeather") == "call_a"
    arguments = "".join(e["delta"] for e in events if e["type"] == "TOOL_CALL_ARGS")
    assert json.loads(arguments) == {"city": "Rome"}
    assert events[-1]["usage"][0]["totalTokens"] == 11
    (prompt,) = llm.prompts
    assert prompt.tool_names == ["showWeather"]
    assert [message.role for message in prompt.messages] == ["user", "assistant", "tool", "user"]
