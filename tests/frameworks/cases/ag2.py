"""AG2, with its client of OpenAI."""

from copilotkit_django.contrib.ag2 import CONTEXT, AG2Agent
from copilotkit_django.contrib.framework import on_worker_thread
from tests.frameworks import tools
from tests.frameworks.case import Case


class AG2(Case):
    title = "AG2"
    package = "ag2"
    modules = ("ag2", "ag_ui", "openai")
    adapter = "ag2.AG2Agent"
    notes = {
        "server_tool": "Functions that use the database are wrapped in `on_worker_thread`.",
        "interrupt": "A run that waits does so in one process, for `hold_seconds`.",
    }

    def agent(self, llm, scenario):
        import ag2
        from ag2.config import OpenAIConfig
        from ag2.middleware import approval_required

        def set_title(title: str, context: ag2.Context) -> str:
            """Give the document a title."""
            before, context.variables["title"] = context.variables.get("title"), title
            assert context.dependencies[CONTEXT].run.state == {"title": before}
            return f"was {before}"

        functions = [ag2.tool(on_worker_thread(tools.weather)), ag2.tool(set_title)]
        if scenario == "interrupt":
            functions.append(ag2.tool(tools.wipe, middleware=[approval_required()]))
        config = OpenAIConfig(
            model="gpt-5", base_url=llm.base_url(), api_key="any", streaming=True, max_retries=0
        )
        return AG2Agent(ag2.Agent("assistant", prompt=tools.PROMPT, config=config, tools=functions))


CASE = AG2()
