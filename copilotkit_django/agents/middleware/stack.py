"""Which middleware wraps which run."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from copilotkit_django.agents.base import Agent, RunInput
from copilotkit_django.agents.middleware.a2ui import A2UI, A2UIOptions, is_installed
from copilotkit_django.agents.middleware.a2ui.options import has_catalog, options_from
from copilotkit_django.agents.middleware.base import AgentMiddleware, FunctionMiddleware
from copilotkit_django.agents.middleware.chain import WrappedAgent
from copilotkit_django.agents.middleware.mcp_apps import MCPApps
from copilotkit_django.agents.middleware.open_generative_ui import OpenGenerativeUI

if TYPE_CHECKING:
    from copilotkit_django.conf import Options

#: In a mapping of agent ids to middleware: all agents.
EVERY_AGENT = "*"


def as_middleware(value: Any) -> AgentMiddleware:
    """``value`` as middleware: an `AgentMiddleware`, a subclass of it, an async generator function
    taking the run context and the next, or a dotted path to one of these.

    Raises `ImproperlyConfigured` for anything else.
    """
    named = repr(value)
    if isinstance(value, str):
        try:
            value = import_string(value)
        except ImportError as error:
            raise ImproperlyConfigured(f"Cannot import {named}: {error}") from error
    if inspect.isclass(value) and issubclass(value, AgentMiddleware):
        try:
            value = value()
        except TypeError as error:
            raise ImproperlyConfigured(f"Middleware {named} cannot be made: {error}.") from error
    if isinstance(value, AgentMiddleware):
        return value
    if inspect.isasyncgenfunction(value):
        return FunctionMiddleware(value)
    raise ImproperlyConfigured(
        f"{named} is neither an AgentMiddleware nor an async generator function taking the run "
        "context and the next."
    )


class MiddlewareStack:
    """The middleware of one endpoint.

    ``configured`` is a list of middleware for all agents, or a mapping of agent ids to such lists,
    where ``*`` stands for all agents. From the outside inwards a run passes what is configured for
    all agents, what is configured for its agent, what the agent brings, and then the middleware
    of ours that settings switch on: A2UI as ``a2ui`` says (``None``: for pages that have a
    catalogue), MCP Apps with the servers of ``mcp_apps``, and Open Generative
    UI for the agents in ``open_generative_ui`` (a list of ids, or true for all).

    Raises `ImproperlyConfigured` for what is no middleware.
    """

    def __init__(
        self,
        configured: Any = (),
        *,
        a2ui: Any = None,
        mcp_apps: Iterable[Any] = (),
        open_generative_ui: bool | Collection[str] = False,
    ) -> None:
        self._a2ui = None if a2ui is None else A2UI(**options_from(a2ui))
        self._mcp_apps = MCPApps(mcp_apps, last=True)
        self._open_generative_ui = open_generative_ui
        by_agent = configured if isinstance(configured, Mapping) else {EVERY_AGENT: configured}
        self._by_agent = {
            str(agent_id): tuple(as_middleware(value) for value in values)
            for agent_id, values in by_agent.items()
        }

    @classmethod
    def from_options(cls, options: Options) -> Self:
        """What the settings of an endpoint say. Raises `ImproperlyConfigured`."""
        return cls(
            options.agent_middleware,
            a2ui=options.a2ui,
            mcp_apps=options.mcp_apps,
            open_generative_ui=options.open_generative_ui,
        )

    @property
    def agents(self) -> set[str]:
        """The ids of the agents that settings about middleware name."""
        named = set(self._by_agent) - {EVERY_AGENT}
        if self._a2ui is not None:
            named.update(self._a2ui.options.agents or ())
        for server in self._mcp_apps.servers:
            named.update(server.agents or ())
        if not isinstance(self._open_generative_ui, bool):
            named.update(self._open_generative_ui)
        return named

    @property
    def a2ui(self) -> A2UIOptions | None:
        """The options of A2UI, if settings switch it on."""
        if self._a2ui is None or not self._a2ui.options.enabled:
            return None
        return self._a2ui.options

    def wrap(
        self, agent_id: str, agent: Agent, run_input: RunInput, *, suggestion: bool = False
    ) -> Agent:
        """The agent for one run, in what wraps it; the agent itself if nothing does."""
        layers = self.layers(agent_id, agent, run_input)
        if suggestion:
            layers = [layer for layer in layers if layer.on_suggestions]
        return WrappedAgent(agent, layers) if layers else agent

    def layers(self, agent_id: str, agent: Agent, run_input: RunInput) -> list[AgentMiddleware]:
        """What wraps a run of that agent, the first outermost."""
        layers = [
            *self._by_agent.get(EVERY_AGENT, ()),
            *self._by_agent.get(agent_id, ()),
            *(as_middleware(value) for value in agent.middleware),
        ]
        if not any(isinstance(layer, A2UI) for layer in layers):
            layers.extend(self._a2ui_for(agent_id, run_input))
        # Requests of apps never reach an agent, also where there are no apps.
        if self._mcp_apps.serves(agent_id) or self._mcp_apps.is_aside(run_input):
            layers.append(self._mcp_apps)
        if _is_for(self._open_generative_ui, agent_id):
            layers.append(OpenGenerativeUI())
        return layers

    def _a2ui_for(self, agent_id: str, run_input: RunInput) -> list[AgentMiddleware]:
        if self._a2ui is not None:
            return [self._a2ui] if self._a2ui.options.is_for(agent_id) else []
        # Nothing was set, but the page has brought what it takes.
        if has_catalog(run_input.forwarded_props) and is_installed():
            return [A2UI()]
        return []


def _is_for(agents: bool | Collection[str], agent_id: str) -> bool:
    return agents if isinstance(agents, bool) else agent_id in agents
