"""An agent of AWS Strands in a Django project of one file; needs OPENAI_API_KEY.

pip install "copilotkit-django[strands]" openai
python examples/strands_agent.py copilotkit_agents default "Is it sunny in Rome?"
"""

import sys

import strands
from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path
from strands.models.openai import OpenAIModel

from copilotkit_django.contrib.strands import StrandsAgent


@strands.tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


model = OpenAIModel(model_id="gpt-4.1-mini")
assistant = StrandsAgent(
    strands.Agent(model=model, system_prompt="Be brief.", tools=[weather], callback_handler=None),
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
