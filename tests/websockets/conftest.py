from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from copilotkit_django.asgi import get_asgi_application
from copilotkit_django.routing import patterns_for
from copilotkit_django.runners import InMemoryRunner
from copilotkit_django.runtime import Runtime
from tests.acting import Parrot
from tests.integration.site import BASE, Site, by_header

from .sockets import SocketClient, Talk


@pytest.fixture
async def site(settings: Any) -> AsyncIterator[Callable[..., Any]]:
    """Put an endpoint on the site, with its sockets: ``site(agents=…)`` gives the application.

    What is not given is a parrot for anybody a header names. Live runs are ended with the test.
    """
    runtimes: list[Runtime] = []

    def mount(**options: Any) -> Any:
        defaults = {
            "agents": {"default": Parrot()},
            "authentication": by_header,
            "runner": InMemoryRunner(),
            "keepalive_seconds": 0,
            "stop_grace_seconds": 0.05,
        }
        runtime = Runtime(**{**defaults, **options})
        runtimes.append(runtime)
        settings.ROOT_URLCONF = Site({BASE: runtime})
        application = get_asgi_application(patterns_for(lambda: runtime))
        application.runtime = runtime  # type: ignore[attr-defined]
        return application

    yield mount
    for runtime in runtimes:
        await runtime.runner.drain()


@pytest.fixture
async def sockets() -> AsyncIterator[Callable[..., SocketClient]]:
    """Keep track of sockets: those that are open at the end are closed."""
    opened: list[SocketClient] = []

    def keep(socket: SocketClient) -> Any:
        opened.append(socket)
        return socket

    yield keep
    for socket in opened:
        if not socket.future.done():
            await socket.leave()


@pytest.fixture
def alice(sockets: Callable[..., Any]) -> Callable[..., Any]:
    """Open a connect socket as alice: ``await alice(application)``."""

    async def open(application: Any, **options: Any) -> Talk:
        headers = {"x-user": "alice", **options.pop("headers", {})}
        socket: Talk = sockets(Talk(application, headers=headers, **options))
        return await socket.opened()

    return open
