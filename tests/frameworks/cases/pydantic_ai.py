"""Pydantic AI, with the client of OpenAI."""

from copilotkit_django.contrib.pydantic_ai import PydanticAIAgent
from tests.frameworks import tools
from tests.frameworks.case import Case


class PydanticAI(Case):
    title = "Pydantic AI"
    package = "pydantic-ai-slim"
    modules = ("pydantic_ai", "openai", "ag_ui")
    adapter = "pydantic_ai.PydanticAIAgent"

    def __init__(self):
        self.clients = {}

    def agent(self, llm, scenario):
        from ag_ui.core import EventType, StateSnapshotEvent
        from openai import AsyncOpenAI
        from pydantic import BaseModel
        from pydantic_ai import Agent, DeferredToolRequests, RunContext, ToolReturn
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider
        from pydantic_ai.ui import StateDeps

        class State(BaseModel):
            title: str = ""

        client = AsyncOpenAI(base_url=llm.base_url(), api_key="any")
        model = OpenAIChatModel("gpt-5", provider=OpenAIProvider(openai_client=client))
        agent = Agent(
            model,
            name="assistant",
            deps_type=StateDeps[State],
            output_type=[str, DeferredToolRequests],
            system_prompt=tools.PROMPT,
            tools=[tools.weather],
        )

        @agent.tool
        def set_title(ctx: RunContext[StateDeps[State]], title: str) -> ToolReturn:
            """Give the document a title."""
            before, ctx.deps.state.title = ctx.deps.state.title, title
            snapshot = StateSnapshotEvent(
                type=EventType.STATE_SNAPSHOT, snapshot=ctx.deps.state.model_dump()
            )
            return ToolReturn(return_value=f"was {before}", metadata=[snapshot])

        if scenario == "interrupt":
            agent.tool_plain(requires_approval=True)(tools.wipe)
        hosted = PydanticAIAgent(agent, deps=lambda context: StateDeps(State()))
        self.clients[hosted] = client
        return hosted

    async def close(self, agent):
        await self.clients.pop(agent).close()


CASE = PydanticAI()
