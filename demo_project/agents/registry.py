"""Which agents the page may call, by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.urls import reverse

from copilotkit_django.agents import HttpAgent
from demo_project.agents.todo import todo_assistant
from demo_project.agents.writer import writer

if TYPE_CHECKING:
    from django.http import HttpRequest


async def agents_for(request: HttpRequest | None) -> dict[str, Any]:
    """The agents by the names the page knows them by."""
    return {
        "default": todo_assistant,
        "writer": writer,
        "remote": HttpAgent(
            almanac_url(request),
            name="Almanac",
            description="Answers questions about dates and times, over HTTP.",
        ),
    }


def almanac_url(request: HttpRequest | None) -> str:
    """Where the almanac's own endpoint is: at this server, unless DEMO_ALMANAC_URL says otherwise.

    The port is the one this server listens on. The Host header is not asked: it is the
    caller's choice, and this process would connect wherever it points.
    """
    if url := os.environ.get("DEMO_ALMANAC_URL"):
        return url
    port = request.META.get("SERVER_PORT", "") if request is not None else ""
    return f"http://127.0.0.1:{port if port.isdecimal() else 8000}{reverse('almanac')}"
