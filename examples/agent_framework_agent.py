"""An agent of the Microsoft Agent Framework in a Django project of one file; needs OPENAI_API_KEY.

pip install "copilotkit-django[agent-framework]" agent-framework-openai
python examples/agent_framework_agent.py copilotkit_agents default "Is it sunny in Rome?"
"""

import sys

from agent_framework import Agent, tool
from agent_framework_openai import OpenAIChatClient
from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path

from copilotkit_django.contrib.agent_framework import AgentFrameworkAgent


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


client = OpenAIChatClient(model="gpt-4.1-mini")
assistant = AgentFrameworkAgent(
    Agent(client, "Be brief.", tools=[weather]), description="Knows the weather."
)

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "copilotkit_django"],
    ROOT_URLCONF=__name__,
    COPILOTKIT={"AGENTS": {"default": assistant}},
)
urlpatterns = [path("api/copilotkit", include("copilotkit_django.urls"))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
