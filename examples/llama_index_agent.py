"""An agent of LlamaIndex in a Django project of one file; needs GOOGLE_API_KEY.

pip install "copilotkit-django[llama-index]" llama-index-llms-google-genai
python examples/llama_index_agent.py copilotkit_agents default "Is it sunny in Rome?"
"""

import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path
from llama_index.llms.google_genai import GoogleGenAI

from copilotkit_django.contrib.llama_index import LlamaIndexAgent


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


model = GoogleGenAI(model="gemini-2.5-flash", context_window=1_000_000, max_tokens=8_000)
assistant = LlamaIndexAgent(
    model, tools=[weather], system_prompt="Be brief.", description="Knows the weather."
)

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "copilotkit_django"],
    ROOT_URLCONF=__name__,
    COPILOTKIT={"AGENTS": {"default": assistant}},
)
urlpatterns = [path("api/copilotkit", include("copilotkit_django.urls"))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
