from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from copilotkit_django.runners import InMemoryRunner
from tests.acting import Parrot
from tests.integration.conftest import alice, bob, nobody, serve  # noqa: F401
from tests.integration.site import by_header

from .pages import Project


@pytest.fixture
async def project(request: pytest.FixtureRequest, settings) -> AsyncIterator[Project]:
    """What a section of a page makes of a project: its modules, and its endpoint on our site.

    What the section does not set is a parrot for anybody a header names.
    """
    listing = request.param
    project = listing.page.project(listing.section)
    runner = InMemoryRunner()
    try:
        for name, value in project.settings.items():
            setattr(settings, name, value)
        settings.COPILOTKIT = {
            "AGENTS": {"default": Parrot(), "billing": Parrot()},
            "AUTHENTICATION": by_header,
            "KEEPALIVE_SECONDS": 0,
            "RUNNER": runner,
            **project.settings.get("COPILOTKIT", {}),
        }
        yield project
        await runner.drain()
    finally:
        project.forget()
