"""An agent of Pydantic AI in a Django project of one file; needs OPENAI_API_KEY.

pip install "copilotkit-django[pydantic-ai,builtin]"
python examples/pydantic_ai_agent.py copilotkit_agents default "Is it sunny in Rome?"
"""

import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path
from pydantic_ai import Agent

from copilotkit_django.contrib.pydantic_ai import PydanticAIAgent


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


agent = Agent("openai-chat:gpt-4.1-mini", system_prompt="Be brief.", tools=[weather])
assistant = PydanticAIAgent(agent, description="Knows the weather.")

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "copilotkit_django"],
    ROOT_URLCONF=__name__,
    COPILOTKIT={"AGENTS": {"default": assistant}},
)
urlpatterns = [path("api/copilotkit", include("copilotkit_django.urls"))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
