"""An agent that speaks A2A in a Django project of one file; needs A2A_URL.

pip install "copilotkit-django[a2a]"
python examples/a2a_agent.py copilotkit_agents default "Hello?"
"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path

from copilotkit_django.contrib.a2a import A2AAgent

assistant = A2AAgent(os.environ["A2A_URL"], description="Answers elsewhere.")

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "copilotkit_django"],
    ROOT_URLCONF=__name__,
    COPILOTKIT={"AGENTS": {"default": assistant}},
)
urlpatterns = [path("api/copilotkit", include("copilotkit_django.urls"))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
