"""Which agents the page may call, by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.urls import reverse

from copilotkit_django.agents import HttpAgent
from demo_project.agents.model import model_agent
from demo_project.agents.studio import studio_with
from demo_project.agents.todo import todo_assistant
from demo_project.agents.writer import writer

if TYPE_CHECKING:
    from django.http import HttpRequest


async def agents_for(request: HttpRequest | None) -> dict[str, Any]:
    """The agents by the names the page knows them by."""
    agents: dict[str, Any] = {
        "default": todo_assistant,
        "writer": writer,
        "remote": HttpAgent(
            address_here(request, "almanac", "DEMO_ALMANAC_URL"),
            name="Almanac",
            description="Answers questions about dates and times, over HTTP.",
        ),
    }
    if (model := model_agent()) is not None:
        agents["model"] = model
    return agents


async def studio_for(request: HttpRequest | None) -> dict[str, Any]:
    """The agent of the studio, which has an endpoint of its own."""
    return {"studio": studio_with(address_here(request, "dice", "DEMO_DICE_URL"))}


def address_here(request: HttpRequest | None, view: str, variable: str) -> str:
    """Where one of this server's own views is, unless that variable of the environment says.

    The port is the one this server listens on. The Host header is not asked: it is the
    caller's choice, and this process would connect wherever it points.
    """
    if url := os.environ.get(variable):
        return url
    port = request.META.get("SERVER_PORT", "") if request is not None else ""
    return f"http://127.0.0.1:{port if port.isdecimal() else 8000}{reverse(view)}"
