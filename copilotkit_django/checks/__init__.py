"""System checks. Ids are permanent: ``copilotkit.E…`` stops the site, ``copilotkit.W…`` warns,
``copilotkit.I…`` tells. Each of them stands on docs/reference/checks.md."""

from copilotkit_django.checks.deployment import check_deployment
from copilotkit_django.checks.settings import check_agents, check_origins, check_settings
from copilotkit_django.checks.surroundings import check_databases, check_layers, check_surroundings

__all__ = [
    "check_agents",
    "check_databases",
    "check_deployment",
    "check_layers",
    "check_origins",
    "check_settings",
    "check_surroundings",
]
