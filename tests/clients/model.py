"""A built-in agent, and what the model it talks to says."""

from __future__ import annotations

from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from copilotkit_django import BuiltInAgent, ToolContext, tool
from copilotkit_django.testing import FakeLLM, Prompt, Reasoning, Text, ToolCall


@tool(destructive=True, approval_message="Wipe it?")
def wipe(context: ToolContext, name: str) -> str:
    """Wipe something."""
    context.patch_state([{"op": "add", "path": "/wiped", "value": name}])
    return f"{name} is gone."


def model_agent(llm: FakeLLM) -> BuiltInAgent:
    """The agent, by the real client of OpenAI."""
    provider = OpenAIProvider(base_url=llm.base_url(), api_key="any")
    return BuiltInAgent(OpenAIChatModel("gpt-test", provider=provider), tools=[wipe])


def answer(prompt: Prompt):
    """What the model says to the newest message."""
    if prompt.tool_results:
        return f"said: {prompt.tool_results[-1].text}"
    match prompt.last_user_text:
        case "confirm":
            return [Text("Look:"), ToolCall("confirm", {"question": "ok?"})]
        case "wipe":
            return ToolCall("wipe", {"name": "x"})
        case "count":
            delta = [{"op": "add", "path": "/items/-", "value": 1}]
            return ToolCall("AGUISendStateDelta", {"delta": delta})
        case "think":
            return [Reasoning("Hm."), Text("Yes.")]
    return f"heard: {prompt.last_user_text}"
