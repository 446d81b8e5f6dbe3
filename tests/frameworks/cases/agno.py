"""Agno, with the client of OpenAI."""

from copilotkit_django.contrib.agno import AgnoAgent
from tests.frameworks import tools
from tests.frameworks.case import Case


class Agno(Case):
    title = "Agno"
    package = "agno"
    modules = ("agno", "fastapi", "openai")
    adapter = "agno.AgnoAgent"

    def agent(self, llm, scenario):
        from agno.agent import Agent
        from agno.db.in_memory import InMemoryDb
        from agno.models.openai import OpenAIChat
        from agno.run.base import RunContext
        from agno.tools.function import Function

        def set_title(run_context: RunContext, title: str) -> str:
            """Give the document a title."""
            state = run_context.session_state
            before, state["title"] = state.get("title"), title
            return f"was {before}"

        wipe = Function.from_callable(tools.wipe)
        wipe.requires_confirmation = True
        agent = Agent(
            name="assistant",
            model=OpenAIChat(id="gpt-5", base_url=llm.base_url(), api_key="any", max_retries=0),
            instructions=tools.PROMPT,
            tools=[tools.weather, set_title, wipe],
            db=InMemoryDb(),
            add_history_to_context=True,
            telemetry=False,
        )
        return AgnoAgent(agent)


CASE = Agno()
