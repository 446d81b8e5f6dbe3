"""Google ADK, with the client of Gemini."""

from copilotkit_django.contrib.adk import ADKAgent
from tests.frameworks import tools
from tests.frameworks.case import Case


class ADK(Case):
    title = "Google ADK"
    package = "google-adk"
    modules = ("ag_ui_adk", "google.adk")
    adapter = "adk.ADKAgent"

    def agent(self, llm, scenario):
        from ag_ui_adk import AGUIToolset
        from google.adk.agents import LlmAgent
        from google.adk.models import Gemini
        from google.adk.tools import FunctionTool, ToolContext

        def set_title(title: str, tool_context: ToolContext) -> str:
            """Give the document a title."""
            before = tool_context.state.get("title")
            tool_context.state["title"] = title
            return f"was {before}"

        model = Gemini(
            model="gemini-3-flash",
            base_url=llm.base_url("google"),
            client_kwargs={"api_key": "any"},
        )
        agent = LlmAgent(
            name="assistant",
            model=model,
            instruction=tools.PROMPT,
            tools=[
                AGUIToolset(),
                tools.weather,
                set_title,
                FunctionTool(tools.wipe, require_confirmation=True),
            ],
        )
        return ADKAgent(agent)

    async def close(self, agent):
        await agent.close()


CASE = ADK()
