"""A real MCP server on this machine."""

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


@dataclass
class Shop:
    """Sells things. ``headers`` are those of the requests it got, by name."""

    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)

    def build(self) -> MCPServer:
        server = MCPServer("shop")

        @server.tool(description="What something costs.")
        def price(item: str) -> dict[str, int]:
            return {"cents": 10 * len(item)}

        @server.tool(description="Always fails.")
        def fail() -> str:
            raise ValueError("There is none left.")

        @server.tool(description="Clashes with a tool of the page.")
        def showWeather(city: str) -> str:
            return f"Asked the server about {city}."

        return server


@contextmanager
def shop_server(kind: str = "http") -> Iterator[Shop]:
    """Serve it in a thread of its own until the end of the block."""
    shop = Shop()
    inner = shop.build().sse_app() if kind == "sse" else shop.build().streamable_http_app()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            shop.headers.append({k.decode(): v.decode("latin-1") for k, v in scope["headers"]})
        await inner(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        shop.url = f"http://127.0.0.1:{port}{'/sse' if kind == 'sse' else '/mcp'}"
        config = uvicorn.Config(application, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        try:
            yield shop
        finally:
            server.should_exit = True
            thread.join(timeout=10)
            assert not thread.is_alive()
