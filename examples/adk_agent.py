"""An agent of Google ADK in a Django project of one file; needs GOOGLE_API_KEY.

pip install "copilotkit-django[adk]"
python examples/adk_agent.py copilotkit_agents default "Is it sunny in Rome?"
"""

import sys

from ag_ui_adk import AGUIToolset
from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path
from google.adk.agents import LlmAgent

from copilotkit_django.contrib.adk import ADKAgent


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


agent = LlmAgent(
    name="assistant",
    model="gemini-2.5-flash",
    instruction="Be brief.",
    tools=[AGUIToolset(), weather],
)
assistant = ADKAgent(agent, description="Knows the weather.")

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "copilotkit_django"],
    ROOT_URLCONF=__name__,
    COPILOTKIT={"AGENTS": {"default": assistant}},
)
urlpatterns = [path("api/copilotkit", include("copilotkit_django.urls"))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
