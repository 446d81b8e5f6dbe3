"""The CopilotKit runtime as a Django app.

What a project imports stands here; importing it needs no configured settings.
"""

from __future__ import annotations

from copilotkit_django.agents import Agent, FunctionAgent, HttpAgent, RunContext, RunInput, agent

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "FunctionAgent",
    "HttpAgent",
    "RunContext",
    "RunInput",
    "__version__",
    "agent",
]
