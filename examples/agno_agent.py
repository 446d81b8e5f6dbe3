"""An agent of Agno in a Django project of one file; needs OPENAI_API_KEY.

pip install "copilotkit-django[agno]" openai
python examples/agno_agent.py copilotkit_agents default "Is it sunny in Rome?"
"""

import sys

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path

from copilotkit_django.contrib.agno import AgnoAgent


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


agent = Agent(
    name="assistant",
    model=OpenAIChat(id="gpt-4.1-mini"),
    instructions="Be brief.",
    tools=[weather],
)
assistant = AgnoAgent(agent, description="Knows the weather.")

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "copilotkit_django"],
    ROOT_URLCONF=__name__,
    COPILOTKIT={"AGENTS": {"default": assistant}},
)
urlpatterns = [path("api/copilotkit", include("copilotkit_django.urls"))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
