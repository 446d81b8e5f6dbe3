"""Middleware of agents: what stands between a run and its agent."""

from copilotkit_django.agents.middleware.base import AgentMiddleware, Next

__all__ = ["AgentMiddleware", "Next"]
