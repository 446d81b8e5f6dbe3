"""The Microsoft Agent Framework, with its client of OpenAI's responses."""

from copilotkit_django.contrib.agent_framework import CONTEXT, AgentFrameworkAgent
from copilotkit_django.contrib.framework import on_worker_thread
from tests.frameworks import tools
from tests.frameworks.case import Case


class AgentFramework(Case):
    title = "Microsoft Agent Framework"
    package = "agent-framework-core"
    modules = ("agent_framework", "agent_framework_openai")
    adapter = "agent_framework.AgentFrameworkAgent"
    notes = {
        "server_tool": "Functions that use the database are wrapped in `on_worker_thread`.",
        "state": "It has none; its functions get a `ToolContext` that does.",
        "reasoning": "With `OpenAIChatClient`; its client of chat completions leaves it out.",
    }

    def __init__(self):
        self.clients = {}

    def agent(self, llm, scenario):
        from agent_framework import Agent, FunctionInvocationContext, tool
        from agent_framework_openai import OpenAIChatClient
        from openai import AsyncOpenAI

        @tool
        def set_title(title: str, ctx: FunctionInvocationContext) -> str:
            """Give the document a title."""
            context = ctx.kwargs[CONTEXT]
            before = context.state["title"]
            context.set_state({"title": title})
            return f"was {before}"

        functions = [tool(on_worker_thread(tools.weather)), set_title]
        if scenario == "interrupt":
            functions.append(tool(tools.wipe, approval_mode="always_require"))
        client = AsyncOpenAI(base_url=llm.base_url(), api_key="any")
        hosted = AgentFrameworkAgent(
            Agent(
                OpenAIChatClient(model="gpt-5", async_client=client),
                tools.PROMPT,
                name="assistant",
                tools=functions,
            )
        )
        self.clients[hosted] = client
        return hosted

    async def close(self, agent):
        await self.clients.pop(agent).close()


CASE = AgentFramework()
