"""Tools that work on the rows of a model, for the user they are called for."""

from copilotkit_django.agents.model_tools.making import model_tools

__all__ = ["model_tools"]
