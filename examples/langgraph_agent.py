"""An agent of LangGraph in a Django project of one file; needs OPENAI_API_KEY.

pip install "copilotkit-django[langgraph]" copilotkit langchain-openai
python examples/langgraph_agent.py copilotkit_agents default "Is it sunny in Rome?"
"""

import sys

from copilotkit import CopilotKitMiddleware
from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path
from langchain.agents import create_agent

from copilotkit_django.contrib.langgraph import LangGraphAgent


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


graph = create_agent(
    "openai:gpt-4.1-mini",
    tools=[weather],
    system_prompt="Be brief.",
    middleware=[CopilotKitMiddleware()],
)
assistant = LangGraphAgent(graph, description="Knows the weather.")

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "copilotkit_django"],
    ROOT_URLCONF=__name__,
    COPILOTKIT={"AGENTS": {"default": assistant}},
)
urlpatterns = [path("api/copilotkit", include("copilotkit_django.urls"))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
