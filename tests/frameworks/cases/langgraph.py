"""LangGraph: an agent of LangChain, with the client of OpenAI."""

from typing import Annotated, Any

from copilotkit_django.contrib.langgraph import LangGraphAgent
from tests.frameworks import tools
from tests.frameworks.case import Case


def forget_clients():
    """LangChain keeps clients for good; a test must not get one of a loop that is closed."""
    from langchain_openai.chat_models import _client_utils

    _client_utils._cached_async_httpx_client.cache_clear()


class LangGraph(Case):
    title = "LangGraph"
    package = "langgraph"
    modules = ("ag_ui_langgraph", "langgraph", "langchain", "langchain_openai", "copilotkit")
    adapter = "langgraph.LangGraphAgent"

    def agent(self, llm, scenario):
        from copilotkit import CopilotKitMiddleware
        from langchain.agents import AgentState, create_agent
        from langchain.agents.middleware import AgentMiddleware
        from langchain_core.messages import ToolMessage
        from langchain_core.tools import InjectedToolCallId, tool
        from langchain_openai import ChatOpenAI
        from langgraph.checkpoint.memory import InMemorySaver
        from langgraph.prebuilt import InjectedState
        from langgraph.types import Command, interrupt

        class State(AgentState):
            title: str

        class WithState(AgentMiddleware):
            state_schema = State

        @tool
        def set_title(
            title: str,
            state: Annotated[dict[str, Any], InjectedState],
            call: Annotated[str, InjectedToolCallId],
        ) -> Command:
            """Give the document a title."""
            result = ToolMessage(f"was {state.get('title')}", tool_call_id=call)
            return Command(update={"title": title, "messages": [result]})

        @tool
        def wipe(what: str) -> str:
            """Delete something for good."""
            answer = interrupt({"reason": "approval", "message": f"Delete {what}?"})
            return tools.wipe(what) if answer.get("approved") else "not wiped"

        # Its client reads what a model thinks from the responses interface only.
        model = ChatOpenAI(
            model="gpt-5",
            base_url=llm.base_url(),
            api_key="any",
            max_retries=0,
            use_responses_api=scenario == "reasoning",
        )
        graph = create_agent(
            model,
            tools=[tools.weather, set_title, wipe],
            system_prompt=tools.PROMPT,
            middleware=[CopilotKitMiddleware(), WithState()],
            checkpointer=InMemorySaver(),
        )
        return LangGraphAgent(graph, name="assistant")


CASE = LangGraph()
