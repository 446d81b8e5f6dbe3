"""Runs an ASGI application on sockets that are open already, under daphne or uvicorn."""

from __future__ import annotations

import random
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

HOST = "127.0.0.1"
SERVERS = ("daphne", "uvicorn")
#: How long uvicorn waits for open streams after SIGTERM; daphne cancels them at once.
SHUTDOWN_SECONDS = 1


def open_socket(port: int = 0, *, shared: bool = False) -> socket.socket:
    """A listening socket; port 0 takes a free one. `shared`: other processes may join the port."""
    return socket.create_server((HOST, port), backlog=4096, reuse_port=shared)


def free_port() -> int:
    """A port to be listened at by and by, and again after a restart.

    Below those that systems give to connections going out, so that none of them has it meanwhile.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        try:
            open_socket(port).close()
        except OSError:
            continue
        return port
    raise AssertionError("a hundred ports were all taken")


def serve(
    application: Any, sockets: Sequence[socket.socket], *, server: str, ready: Callable[[], None]
) -> None:
    """Serve until SIGTERM or SIGINT, even when streams are open then. Calls `ready` once up."""
    if server == "uvicorn":
        _serve_with_uvicorn(application, sockets, ready)
    else:
        _serve_with_daphne(application, sockets, ready)


def _serve_with_daphne(
    application: Any, sockets: Sequence[socket.socket], ready: Callable[[], None]
) -> None:
    # Importing daphne.server installs a Twisted reactor.
    from daphne.server import Server

    endpoints = [f"fd:fileno={each.fileno()}" for each in sockets]
    Server(application, endpoints=endpoints, ready_callable=ready, verbosity=0).run()


def _serve_with_uvicorn(
    application: Any, sockets: Sequence[socket.socket], ready: Callable[[], None]
) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    # Uvicorn raises the signal again after its shutdown; without this the process would die of it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        application,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    Server(config).run(sockets=list(sockets))
