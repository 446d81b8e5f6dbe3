"""A flow of CrewAI, which talks to its model with LiteLLM."""

from __future__ import annotations

import json
from typing import Any

from asgiref.sync import sync_to_async

from copilotkit_django.contrib.crewai import CrewAIAgent
from tests.frameworks import tools
from tests.frameworks.case import Case


class CrewAI(Case):
    title = "CrewAI"
    package = "crewai"
    modules = ("crewai", "ag_ui_crewai", "litellm")
    adapter = "crewai.CrewAIAgent"
    exclusive = True
    approval = "approved"
    notes = {
        "server_tool": "A flow calls them itself, here with `sync_to_async`.",
        "interrupt": "CrewAI stores what it needs to go on, in a file unless told otherwise.",
        "stop": "Of a flow. A crew works in a thread, which cannot be stopped.",
    }

    def agent(self, llm, scenario):
        return CrewAIAgent(flow(llm.base_url())(), name="assistant")


def flow(base_url: str) -> Any:
    """The class of a flow that lets a model talk and call tools until it has had its say."""
    from ag_ui_crewai import (
        CopilotKitState,
        agui_feedback_provider,
        copilotkit_emit_tool_result,
        copilotkit_stream,
    )
    from crewai.flow.flow import Flow, listen, router, start
    from crewai.flow.human_feedback import human_feedback
    from litellm import acompletion

    class State(CopilotKitState):
        title: str = ""

    class Assistant(Flow[State]):
        def _call(self) -> dict[str, Any]:
            return self.state.messages[-1]["tool_calls"][0]

        async def _answer(self, result: str) -> None:
            call_id = self._call()["id"]
            await copilotkit_emit_tool_result(call_id, result)
            message = {"role": "tool", "tool_call_id": call_id, "content": result}
            self.state.messages.append(message)

        async def _talk(self) -> str:
            while True:
                response = await copilotkit_stream(
                    await acompletion(
                        model="openai/gpt-4.1",
                        base_url=base_url,
                        api_key="any",
                        messages=[
                            {"role": "system", "content": tools.PROMPT},
                            *self.state.messages,
                        ],
                        tools=[*self.state.copilotkit.actions, *TOOLS],
                        stream=True,
                        max_retries=0,
                    )
                )
                message = response.choices[0].message.model_dump(exclude_none=True)
                self.state.messages.append(message)
                if not message.get("tool_calls"):
                    return "done"
                function = self._call()["function"]
                arguments = json.loads(function["arguments"])
                if function["name"] == "weather":
                    await self._answer(await sync_to_async(tools.weather)(**arguments))
                elif function["name"] == "set_title":
                    before, self.state.title = self.state.title, arguments["title"]
                    await self._answer(f"was {before}")
                else:
                    return function["name"]

        @start()
        async def begin(self) -> str:
            return await self._talk()

        @router(begin)
        def next_step(self) -> str:
            message = self.state.messages[-1]
            calls = message.get("tool_calls") or []
            return "wipe" if calls and calls[0]["function"]["name"] == "wipe" else "done"

        @listen("wipe")
        @human_feedback(message="Wipe it?", provider=agui_feedback_provider)
        def ask(self) -> str:
            return self._call()["function"]["arguments"]

        @listen(ask)
        async def decided(self, answer: Any) -> str:
            arguments = json.loads(self._call()["function"]["arguments"])
            agreed = answer.feedback == "approved"
            await self._answer(tools.wipe(**arguments) if agreed else "They said no.")
            return await self._talk()

    return Assistant


def _tool(name: str, description: str, *parameters: str) -> dict[str, Any]:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": properties},
        },
    }


SYSTEM = {"role": "system", "content": tools.PROMPT}

TOOLS = [
    _tool("weather", "Tell the weather in a city.", "city"),
    _tool("set_title", "Give the document a title.", "title"),
    _tool("wipe", "Delete something for good.", "what"),
]

CASE = CrewAI()
