"""LlamaIndex, with the client of Gemini."""

from copilotkit_django.contrib.llama_index import LlamaIndexAgent
from tests.frameworks import tools
from tests.frameworks.case import Case


class LlamaIndex(Case):
    title = "LlamaIndex"
    package = "llama-index-core"
    modules = ("llama_index.protocols.ag_ui", "llama_index.llms.google_genai")
    adapter = "llama_index.LlamaIndexAgent"
    cannot = {"interrupt": "Its AG-UI workflow has no way to wait for a person."}

    def agent(self, llm, scenario):
        from google.genai.types import HttpOptions
        from llama_index.core.workflow import Context
        from llama_index.llms.google_genai import GoogleGenAI

        async def set_title(ctx: Context, title: str) -> str:
            """Give the document a title."""
            state = await ctx.store.get("state", default={})
            before = state.get("title")
            await ctx.store.set("state", {**state, "title": title})
            return f"was {before}"

        model = GoogleGenAI(
            model="gemini-2.5-flash",
            api_key="any",
            http_options=HttpOptions(base_url=llm.base_url("google")),
            context_window=100_000,
            max_tokens=1000,
            max_retries=0,
        )
        return LlamaIndexAgent(
            model, tools=[tools.weather, set_title, tools.wipe], system_prompt=tools.PROMPT
        )


CASE = LlamaIndex()
