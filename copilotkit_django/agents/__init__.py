"""What produces events: the contract, agents made of functions, agents behind HTTP, tools."""

from copilotkit_django.agents.base import Agent, Event, RunContext, RunInput
from copilotkit_django.agents.function import FunctionAgent, agent
from copilotkit_django.agents.http import HttpAgent
from copilotkit_django.agents.runtime import RuntimeAgent
from copilotkit_django.agents.tools import Tool, ToolContext, ToolError, ToolResult, tool

__all__ = [
    "Agent",
    "Event",
    "FunctionAgent",
    "HttpAgent",
    "RunContext",
    "RunInput",
    "RuntimeAgent",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "agent",
    "tool",
]
