"""The application on a port, in the loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from tests.serving import HOST, open_socket
from tests.talk import until


@asynccontextmanager
async def served(application: Any) -> AsyncIterator[int]:
    """Serve it with uvicorn; gives the port. Sockets that are open at the end are closed."""
    listener = open_socket()
    config = uvicorn.Config(
        application,
        access_log=False,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await until(lambda: server.started or serving.done())
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=10)
        listener.close()


def url(port: int, path: str = "", scheme: str = "http") -> str:
    return f"{scheme}://{HOST}:{port}{path}"
