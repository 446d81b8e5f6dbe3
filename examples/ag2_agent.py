"""An agent of AG2 in a Django project of one file; needs OPENAI_API_KEY.

pip install "copilotkit-django[ag2]" openai
python examples/ag2_agent.py copilotkit_agents default "Is it sunny in Rome?"
"""

import sys

import ag2
from ag2.config import OpenAIConfig
from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path

from copilotkit_django.contrib.ag2 import AG2Agent


@ag2.tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


model = OpenAIConfig(model="gpt-4.1-mini", streaming=True)
assistant = AG2Agent(
    ag2.Agent("assistant", prompt="Be brief.", config=model, tools=[weather]),
    description="Knows the weather.",
)

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "copilotkit_django"],
    ROOT_URLCONF=__name__,
    COPILOTKIT={"AGENTS": {"default": assistant}},
)
urlpatterns = [path("api/copilotkit", include("copilotkit_django.urls"))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
