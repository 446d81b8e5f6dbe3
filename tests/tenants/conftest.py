from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.contrib import admin
from django.urls import path

from copilotkit_django.runners import InMemoryRunner
from copilotkit_django.runners.database import DatabaseRunner
from copilotkit_django.runtime import Runtime
from tests.integration.site import BASE, Site

from .world import Teller, World


@pytest.fixture
async def make_world(
    transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """Make a world over a kind of runner. Its housekeeping rests, so that what is asked counts."""
    monkeypatch.setattr("copilotkit_django.runners.upkeep.WATCH_SECONDS", 3600)
    worlds: list[World] = []

    async def make(kind: str, **options: Any) -> World:
        agent = Teller()
        runner = InMemoryRunner() if kind == "memory" else DatabaseRunner(lease_seconds=3600)
        settings.COPILOTKIT = {
            "AGENTS": {"default": agent},
            "AUTHENTICATION": "anonymous",
            "RUNNER": runner,
            "DEBUG_EVENTS": True,
            "KEEPALIVE_SECONDS": 0,
            "STOP_GRACE_SECONDS": 0.05,
            **{name.upper(): value for name, value in options.items()},
        }
        runtime = Runtime()
        settings.ROOT_URLCONF = Site({BASE: runtime}, path("admin/", admin.site.urls))
        world = World(runtime, agent)
        worlds.append(world)
        await world.populate()
        return world

    yield make
    for world in worlds:
        world.agent.cue.set()
        await asyncio.sleep(0)
        await world.runner.drain()
