"""What produces events: the contract, agents made of functions, agents behind HTTP."""

from copilotkit_django.agents.base import Agent, Event, RunContext, RunInput
from copilotkit_django.agents.function import FunctionAgent, agent
from copilotkit_django.agents.http import HttpAgent

__all__ = ["Agent", "Event", "FunctionAgent", "HttpAgent", "RunContext", "RunInput", "agent"]
