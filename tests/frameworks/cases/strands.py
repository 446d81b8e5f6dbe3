"""AWS Strands, with its model of OpenAI's responses."""

from copilotkit_django.contrib.framework import on_worker_thread
from copilotkit_django.contrib.strands import CONTEXT, StrandsAgent
from tests.frameworks import tools
from tests.frameworks.case import Case


class Strands(Case):
    title = "AWS Strands"
    package = "strands-agents"
    modules = ("strands", "ag_ui_strands", "openai")
    adapter = "strands.StrandsAgent"
    notes = {
        "server_tool": "Functions that use the database are wrapped in `on_worker_thread`.",
        "interrupt": "Without a session manager a run that waits does so in one process.",
    }

    def agent(self, llm, scenario):
        import strands
        from ag_ui_strands import StrandsAgentConfig, ToolBehavior
        from strands.models.openai import OpenAIModel
        from strands.models.openai_responses import OpenAIResponsesModel

        @strands.tool(context=True)
        def set_title(title: str, tool_context: strands.ToolContext) -> str:
            """Give the document a title.

            Args:
                title: The new one.
            """
            context = tool_context.invocation_state[CONTEXT]
            before = context.state["title"]
            context.set_state({"title": title})
            return f"was {before}"

        functions = [strands.tool(on_worker_thread(tools.weather)), set_title]
        if scenario == "interrupt":
            functions.append(strands.tool(tools.wipe))
        approval = ToolBehavior(interrupt_on_call=True)
        kind = OpenAIResponsesModel if scenario == "reasoning" else OpenAIModel
        model = kind(
            client_args={"base_url": llm.base_url(), "api_key": "any", "max_retries": 0},
            model_id="gpt-5",
        )
        return StrandsAgent(
            strands.Agent(
                model=model,
                name="assistant",
                system_prompt=tools.PROMPT,
                tools=functions,
                callback_handler=None,
            ),
            config=StrandsAgentConfig(tool_behaviors={"wipe": approval}),
        )


CASE = Strands()
