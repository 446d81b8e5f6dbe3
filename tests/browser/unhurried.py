"""The demo's settings, but its writer takes its time, so that things can happen meanwhile."""

from typing import Any

from demo_project.settings import *  # noqa: F403
from demo_project.settings import COPILOTKIT

COPILOTKIT = COPILOTKIT | {"AGENTS": "tests.browser.unhurried.agents_for"}


def agents_for(request: Any) -> Any:
    from demo_project.agents import registry, writer

    writer.PACE = (0.04, 0.04)
    return registry.agents_for(request)
