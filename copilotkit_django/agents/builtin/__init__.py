"""An agent that needs no code: a language model, by name, with the tools of project and page.

Nothing here imports pydantic-ai before the first run.
"""

from copilotkit_django.agents.builtin.agent import BasicAgent, BuiltInAgent
from copilotkit_django.agents.builtin.extras import MissingExtra
from copilotkit_django.agents.builtin.factory import FactoryContext
from copilotkit_django.agents.builtin.mcp import McpServer
from copilotkit_django.agents.builtin.models import InvalidModel, close_models

__all__ = [
    "BasicAgent",
    "BuiltInAgent",
    "FactoryContext",
    "InvalidModel",
    "McpServer",
    "MissingExtra",
    "close_models",
]
