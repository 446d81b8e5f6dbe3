"""Tools of MCP servers: connected to for one run, and left at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from copilotkit_django.agents.builtin.extras import importing, require_mcp
from copilotkit_django.agents.tools import Tool, ToolError
from copilotkit_django.workers import call

if TYPE_CHECKING:
    from copilotkit_django.agents.base import RunContext

logger = logging.getLogger("copilotkit.run")

#: A server that takes longer to say what it has is skipped.
CONNECT_SECONDS = 10.0

#: A call that takes longer is given up.
CALL_SECONDS = 60.0

#: Leaving a server may take so long.
CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class McpServer:
    """Where an MCP server is. ``headers`` may be a function (sync or async) of the run context."""

    type: str
    url: str
    headers: Mapping[str, str] | Callable[[RunContext], Any] | None = None

    @classmethod
    def read(cls, value: McpServer | Mapping[str, Any]) -> McpServer:
        """A server as `BuiltInAgent` is given it: ``{"type": "http" | "sse", "url": …}``, with
        ``headers``, or ``options`` that hold them. Raises `ValueError`."""
        if isinstance(value, McpServer):
            server = value
        else:
            options = value.get("options") or {}
            headers = value.get("headers") or options.get("headers")
            unknown = value.keys() - {"type", "url", "headers", "options"}
            if unknown:
                raise ValueError(f"An MCP server has no {', '.join(sorted(unknown))}.")
            server = cls(value.get("type", "http"), value.get("url", ""), headers)
        address = urlsplit(server.url)
        if server.type not in ("http", "sse"):
            raise ValueError(f"An MCP server is of type http or sse, not {server.type!r}.")
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"{server.url!r} is no address of an MCP server.")
        return server

    async def client(self, context: RunContext) -> Any:
        """A client for one run, not connected yet."""
        from fastmcp.client import Client
        from fastmcp.client.transports import SSETransport, StreamableHttpTransport

        headers = self.headers
        if callable(headers):
            headers = await call(headers, context)
        transport = StreamableHttpTransport if self.type == "http" else SSETransport
        return Client(transport(self.url, headers=dict(headers or {})))


def _tool(client: Any, found: Any) -> Tool:
    """A tool of a server, called over its connection."""

    async def carry_out(**arguments: Any) -> Any:
        result = await client.call_tool_mcp(found.name, arguments)
        wire = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        if wire.get("isError"):
            texts = [part.get("text", "") for part in wire.get("content", ())]
            raise ToolError("\n".join(filter(None, texts)) or "The tool failed.")
        return {key: wire[key] for key in ("content", "structuredContent") if key in wire}

    wire = found.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Tool(
        name=found.name,
        description=found.description or "",
        parameters={"type": "object", "properties": {}, **(wire.get("inputSchema") or {})},
        function=carry_out,
        validate=_validate,
        timeout=CALL_SECONDS,
    )


def _validate(arguments: Any) -> dict[str, Any]:
    # The server has the last word on what is in them.
    if not isinstance(arguments, dict):
        raise ToolError("The arguments must be an object.")
    return arguments


async def connect(
    servers: Sequence[McpServer],
    clients: Sequence[Any],
    context: RunContext,
    stack: AsyncExitStack,
) -> list[Tool]:
    """The tools of all servers, those of ``clients`` first, in their order.

    The connections are left with ``stack``. A server that cannot be reached is skipped with a line
    in the log.
    """
    if not servers and not clients:
        return []
    require_mcp()
    # It takes a second, which other runs need not wait for.
    await asyncio.to_thread(_import_client)
    tools: list[Tool] = []
    for client in clients:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await stack.enter_async_context(client)
                tools += await _tools(client)
        except Exception as error:
            logger.warning("An MCP client is skipped: %s", _reason(error))
    # Side by side: one that does not answer shall cost its own time only.
    found = await asyncio.gather(*(_open(server, context, stack) for server in servers))
    return [*tools, *(tool for those in found for tool in those)]


def _import_client() -> None:
    with importing:
        import_module("fastmcp.client")


async def _open(server: McpServer, context: RunContext, stack: AsyncExitStack) -> list[Tool]:
    client = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await server.client(context)
            stack.push_async_callback(_leave, client)
            await client.__aenter__()
            return await _tools(client)
    except Exception as error:
        host = urlsplit(server.url).netloc
        logger.warning("The MCP server at %s is skipped: %s", host, _reason(error))
        return []


async def _leave(client: Any) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
    except Exception as error:
        logger.debug("An MCP server could not be left: %r", error)


async def _tools(client: Any) -> list[Tool]:
    tools = []
    for found in await client.list_tools():
        if not _is_for_models(found):
            continue
        try:
            tools.append(_tool(client, found))
        except ValueError as error:
            logger.warning("A tool of an MCP server is left out: %s", error)
    return tools


def _is_for_models(tool: Any) -> bool:
    """Tools of MCP Apps may be for the app's page only."""
    ui = (getattr(tool, "meta", None) or {}).get("ui")
    visibility: Iterable[str] = ui.get("visibility", ["model"]) if isinstance(ui, Mapping) else []
    return not isinstance(ui, Mapping) or "model" in visibility


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:g} s."
    return f"{type(error).__name__}: {error}"
