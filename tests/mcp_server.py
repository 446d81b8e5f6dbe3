"""A real MCP server on this machine, with tools that have interfaces."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.apps import Apps

HOST = "127.0.0.1"

RESOURCE = "ui://clock/app.html"

PAGE = "<!doctype html><title>Clock</title><p>A clock.</p>"


@dataclass
class ClockServer:
    """Tells the time: a tool with an interface, tools for apps and for models only.

    ``called`` are the tools that were called with their arguments, ``headers`` those of the
    requests, by name.
    """

    url: str = ""
    page: str = PAGE
    called: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def build(self) -> MCPServer:
        apps = Apps()

        @apps.tool(resource_uri=RESOURCE, description="Shows a clock.")
        def show_clock(zone: str = "UTC") -> str:
            self.called.append(("show_clock", {"zone": zone}))
            return f"It is noon in {zone}."

        @apps.tool(resource_uri=RESOURCE, visibility=["app"], description="Winds the clock.")
        def wind(turns: int) -> str:
            self.called.append(("wind", {"turns": turns}))
            return f"Wound {turns} times."

        @apps.tool(resource_uri=RESOURCE, visibility=["model"], description="Stops the clock.")
        def stop() -> str:
            self.called.append(("stop", {}))
            return "Stopped."

        apps.add_html_resource(RESOURCE, self.page)
        server = MCPServer("clock", extensions=[apps])

        @server.tool(description="Has no interface.")
        def plain() -> str:
            self.called.append(("plain", {}))
            return "Plain."

        @server.resource("file:///secret")
        def secret() -> str:
            return "secret"

        return server


@contextmanager
def clock_server(type: str = "http", **options: Any) -> Iterator[ClockServer]:
    """Serve it in a thread of its own until the end of the block."""
    clock = ClockServer(**options)
    built = clock.build()
    inner = built.sse_app() if type == "sse" else built.streamable_http_app()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            clock.headers.append({k.decode(): v.decode("latin-1") for k, v in scope["headers"]})
        await inner(scope, receive, send)

    with socket.create_server((HOST, 0)) as listening:
        path = "/sse" if type == "sse" else "/mcp"
        clock.url = f"http://{HOST}:{listening.getsockname()[1]}{path}"
        config = uvicorn.Config(application, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve([listening])), name="mcp-server", daemon=True
        )
        thread.start()
        try:
            yield clock
        finally:
            server.should_exit = True
            thread.join(timeout=10)
            assert not thread.is_alive()
