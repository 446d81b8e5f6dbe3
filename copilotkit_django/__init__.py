"""The CopilotKit runtime as a Django app.

What a project imports stands here; importing it needs no configured settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copilotkit_django.agents import (
    Agent,
    FunctionAgent,
    HttpAgent,
    RunContext,
    RunInput,
    RuntimeAgent,
    ToolContext,
    ToolError,
    agent,
    tool,
)
from copilotkit_django.agents.middleware import AgentMiddleware, Next

if TYPE_CHECKING:
    from copilotkit_django.agents.builtin import BasicAgent, BuiltInAgent

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AgentMiddleware",
    "BasicAgent",
    "BuiltInAgent",
    "FunctionAgent",
    "HttpAgent",
    "Next",
    "RunContext",
    "RunInput",
    "RuntimeAgent",
    "ToolContext",
    "ToolError",
    "__version__",
    "agent",
    "tool",
]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: it needs Django, which the event functions do without.
    if name in ("BasicAgent", "BuiltInAgent"):
        from copilotkit_django.agents import builtin

        return getattr(builtin, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
