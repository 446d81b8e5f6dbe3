"""What the ``COPILOTKIT`` dict says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

from copilotkit_django.agents.base import Agent
from copilotkit_django.agents.middleware.stack import MiddlewareStack
from copilotkit_django.agents.registry import collect, load
from copilotkit_django.conf import NAME, Options, problems, project_settings

CORS_MIDDLEWARE = (
    "copilotkit_django.origins.CorsMiddleware",
    "corsheaders.middleware.CorsMiddleware",
)


@register("copilotkit")
def check_settings(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """The ``COPILOTKIT`` dict: names that exist, values that can be used."""
    try:
        values = {str(name).lower(): value for name, value in project_settings().items()}
    except ImproperlyConfigured as error:
        return [Error(str(error), id="copilotkit.E001")]
    messages: list[CheckMessage] = [
        Error(problem.text, hint=problem.hint, id=f"copilotkit.{problem.check_id}")
        for problem in problems(values)
    ]
    if not values.get("agents"):
        messages.append(
            Warning(
                "No agents are configured.",
                hint=f"Set {NAME}['AGENTS']: the chat of the official client needs one named "
                "'default'.",
                id="copilotkit.W001",
            )
        )
    return messages


@register("copilotkit")
def check_agents(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """What clients are told of the agents, where that can be told without a request."""
    try:
        options = Options.load()
        source = options.agents
        source = load(source) if isinstance(source, str) else source
        if callable(source) and not isinstance(source, (dict, Agent)):
            # A factory makes them for each request.
            return []
        agents = collect(source)
    except (ImproperlyConfigured, TypeError):
        return []
    messages: list[CheckMessage] = []
    silent = sorted(agent_id for agent_id, agent in agents.items() if not agent.description)
    if silent:
        messages.append(
            Warning(
                f"Agents without a description: {', '.join(silent)}.",
                hint="Clients, and other agents, choose by it. Give each a docstring or a "
                "description.",
                id="copilotkit.W005",
            )
        )
    unknown = sorted(MiddlewareStack.from_options(options).agents - set(agents))
    if unknown:
        messages.append(
            Warning(
                f"Settings about the runs of agents name some that are not there: "
                f"{', '.join(unknown)}.",
                hint=f"Correct AGENT_MIDDLEWARE, A2UI, MCP_APPS or OPEN_GENERATIVE_UI in {NAME}.",
                id="copilotkit.W008",
            )
        )
    return messages


@register("copilotkit", Tags.security)
def check_origins(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """ALLOWED_ORIGINS needs somebody who answers preflights."""
    try:
        options = Options.load()
    except ImproperlyConfigured:
        return []
    answered = any(path in CORS_MIDDLEWARE for path in django_settings.MIDDLEWARE)
    messages: list[CheckMessage] = []
    if options.allowed_origins and not answered:
        messages.append(
            Error(
                f"{NAME}['ALLOWED_ORIGINS'] is set, but nothing answers preflight requests.",
                hint="Add 'corsheaders' to INSTALLED_APPS and "
                "'copilotkit_django.origins.CorsMiddleware' near the top of MIDDLEWARE.",
                id="copilotkit.E004",
            )
        )
    if "*" in options.allowed_origins and not django_settings.DEBUG:
        messages.append(
            Warning(
                f"{NAME}['ALLOWED_ORIGINS'] lets pages of every origin call with cookies.",
                hint="Name the origins.",
                id="copilotkit.W004",
            )
        )
    return messages
