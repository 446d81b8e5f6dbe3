"""Which agents a caller may use: a mapping, a list, dotted paths, or a factory per request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from copilotkit_django.agents.base import Agent
from copilotkit_django.agents.function import FunctionAgent
from copilotkit_django.agents.middleware.stack import as_middleware
from copilotkit_django.workers import call

#: What AGENTS may be.
Source = Mapping[str, Any] | Iterable[Any] | Callable[..., Any] | str


def as_agent(value: Any, agent_id: str = "") -> Agent:
    """``value`` as an agent: an `Agent`, a subclass of it, an async generator function, or a dotted
    path to one of these. Raises `ImproperlyConfigured` for anything else, and for an agent whose
    ``middleware`` is none."""
    if isinstance(value, str):
        value = load(value)
    if inspect.isclass(value) and issubclass(value, Agent):
        value = value()
    if isinstance(value, Agent):
        for wrapped_in in value.middleware:
            as_middleware(wrapped_in)
        return value
    if inspect.isasyncgenfunction(value):
        return FunctionAgent(value)
    raise ImproperlyConfigured(
        f"Agent {agent_id!r} is {value!r}, which is neither an Agent nor an async generator "
        "function taking the run context."
    )


def load(path: str) -> Any:
    """The object a dotted path names. Raises `ImproperlyConfigured` naming the path."""
    try:
        return import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"Cannot import {path!r}: {error}") from error


def collect(source: Any) -> dict[str, Agent]:
    """The agents of a mapping or of a list of named agents, by id.

    Raises `ImproperlyConfigured` for a list with an unnamed agent or the same name twice.
    """
    if isinstance(source, Mapping):
        return {str(key): as_agent(value, str(key)) for key, value in source.items()}
    if isinstance(source, str) or not isinstance(source, Iterable):
        raise ImproperlyConfigured(f"AGENTS is {source!r}, not a mapping or a list of agents.")
    agents: dict[str, Agent] = {}
    for value in source:
        agent = as_agent(value)
        if not agent.name:
            raise ImproperlyConfigured(f"In a list of agents each needs a name: {agent!r}.")
        if agent.name in agents:
            raise ImproperlyConfigured(f"Two agents are named {agent.name!r}.")
        agents[agent.name] = agent
    return agents


class AgentRegistry:
    """The agents of one endpoint."""

    def __init__(self, source: Any) -> None:
        if isinstance(source, str):
            source = load(source)
        self._factory: Callable[[Any], Any] | None = None
        self._agents: dict[str, Agent] = {}
        if callable(source) and not isinstance(source, (Mapping, Agent)):
            self._factory = source
        else:
            self._agents = collect(source)

    async def all(self, request: Any) -> dict[str, Agent]:
        """The agents this request may use, by id.

        A factory is called with the request each time, a synchronous one in a thread; what it
        raises is passed on.
        """
        if self._factory is None:
            return self._agents
        return collect(await call(self._factory, request))
