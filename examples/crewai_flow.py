"""A flow of CrewAI in a Django project of one file; needs OPENAI_API_KEY.

pip install "copilotkit-django[crewai]"
python examples/crewai_flow.py copilotkit_agents default "Hello?"
"""

import sys

from ag_ui_crewai import CopilotKitState, copilotkit_stream
from crewai.flow.flow import Flow, start
from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path
from litellm import acompletion

from copilotkit_django.contrib.crewai import CrewAIAgent


class Assistant(Flow[CopilotKitState]):
    @start()
    async def answer(self):
        said = [{"role": "system", "content": "Be brief."}, *self.state.messages]
        stream = await acompletion(model="openai/gpt-4.1-mini", messages=said, stream=True)
        self.state.messages.append((await copilotkit_stream(stream)).choices[0].message)


assistant = CrewAIAgent(Assistant(suppress_flow_events=True), description="Answers briefly.")

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "copilotkit_django"],
    ROOT_URLCONF=__name__,
    COPILOTKIT={"AGENTS": {"default": assistant}},
)
urlpatterns = [path("api/copilotkit", include("copilotkit_django.urls"))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
