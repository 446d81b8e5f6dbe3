from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from copilotkit_django.runners import InMemoryRunner
from copilotkit_django.runtime import Runtime
from tests.acting import Parrot

from .site import BASE, Caller, Site, by_header


@pytest.fixture
async def serve(settings) -> Any:
    """Put an endpoint on the site: ``serve(agents=…)``; what is not given is a parrot for anybody
    a header names. Its live runs are ended with the test."""
    runtimes: list[Runtime] = []

    def mount(at: str = BASE, **options: Any) -> Runtime:
        runtime = runtime_for(**options)
        runtimes.append(runtime)
        settings.ROOT_URLCONF = Site({at: runtime})
        return runtime

    yield mount
    for runtime in runtimes:
        await runtime.runner.drain()


def runtime_for(**options: Any) -> Runtime:
    defaults = {
        "agents": {"default": Parrot()},
        "authentication": by_header,
        "runner": InMemoryRunner(),
        "keepalive_seconds": 0,
        "stop_grace_seconds": 0.05,
    }
    return Runtime(**{**defaults, **options})


@pytest.fixture
def make_runtime() -> Callable[..., Runtime]:
    """A runtime that the test mounts itself."""
    return runtime_for


@pytest.fixture
def alice() -> Caller:
    return Caller(headers={"x-user": "alice"})


@pytest.fixture
def bob() -> Caller:
    return Caller(headers={"x-user": "bob"})


@pytest.fixture
def nobody() -> Caller:
    return Caller()
