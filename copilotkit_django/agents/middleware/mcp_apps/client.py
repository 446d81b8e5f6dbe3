"""Calls to one MCP server, on the official client.

Needs the ``mcp`` extra.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, cast

import httpx2
import mcp_types as types
from mcp.client import Client, advertise
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from copilotkit_django.agents.middleware.mcp_apps.guarded import GuardedTransport
from copilotkit_django.agents.middleware.mcp_apps.servers import AppServer

#: What says to a server that its tools may bring interfaces with them.
EXTENSION = "io.modelcontextprotocol/ui"
MIME_TYPE = "text/html;profile=mcp-app"

#: A listing of tools may have so many pages.
MOST_PAGES = 20


class ServerFailed(Exception):
    """A server did not do what it was asked to. The text is for the log."""


async def list_tools(
    server: AppServer, headers: Mapping[str, str], timeout: float
) -> list[dict[str, Any]]:
    """All tools of a server, in wire form. Raises `ServerFailed`."""
    async with _connected(server, headers, timeout) as client:
        tools: list[types.Tool] = []
        cursor = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        return [_wire(tool) for tool in tools]


async def call_tool(
    server: AppServer, headers: Mapping[str, str], name: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """The result of a tool, in wire form. Raises `ServerFailed`."""
    request = types.CallToolRequest(
        params=types.CallToolRequestParams(name=name, arguments=dict(arguments))
    )
    async with _connected(server, headers, server.timeout) as client:
        # Not call_tool(), which checks the result against a schema of the server's: its regular
        # expressions would run here.
        try:
            result = await client.session.send_request(request, types.CallToolResult)
        except MCPError as error:
            if error.code != types.HEADER_MISMATCH:
                raise
            # The server wants arguments in headers, which the client knows of once it has listed.
            await client.list_tools()
            result = await client.session.send_request(request, types.CallToolResult)
        return _wire(result)


async def read_resource(server: AppServer, headers: Mapping[str, str], uri: str) -> dict[str, Any]:
    """What a resource of a server contains, in wire form. Raises `ServerFailed`."""
    async with _connected(server, headers, server.timeout) as client:
        return _wire(await client.read_resource(uri))


async def ping(server: AppServer, headers: Mapping[str, str]) -> dict[str, Any]:
    """Ask a server whether it is there. Raises `ServerFailed`."""
    async with _connected(server, headers, server.timeout) as client:
        # Later protocols have no ping; that one has connected says as much.
        if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return {}
        return _wire(await client.session.send_request(types.PingRequest(), types.EmptyResult))


@asynccontextmanager
async def _connected(
    server: AppServer, headers: Mapping[str, str], timeout: float
) -> AsyncIterator[Client]:
    transport = GuardedTransport(server, timeout)

    def http() -> httpx2.AsyncClient:
        # No proxy of the environment: it would look names up by itself.
        return httpx2.AsyncClient(
            transport=transport,
            headers=dict(headers),
            timeout=httpx2.Timeout(timeout),
            trust_env=False,
        )

    try:
        async with asyncio.timeout(timeout), AsyncExitStack() as stack:
            streams: AbstractAsyncContextManager[Any]
            if server.type == "sse":
                streams = sse_client(
                    server.url, httpx_client_factory=cast(Any, lambda **options: http())
                )
            else:
                streams = streamable_http_client(
                    server.url,
                    http_client=await stack.enter_async_context(http()),
                    max_sse_event_size=server.max_bytes,
                )
            client = Client(
                streams,
                client_info=types.Implementation(name="copilotkit_django", version="1"),
                extensions=[advertise(EXTENSION, {"mimeTypes": [MIME_TYPE]})],
                read_timeout_seconds=timeout,
                cache=None,
            )
            yield await stack.enter_async_context(client)
    except Exception as error:
        raise ServerFailed(transport.refusal or _reason(error)) from error


def _reason(error: BaseException) -> str:
    """What went wrong, in a line: of a group of errors, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return f"{type(error).__name__}: {str(error)[:200]}"


def _wire(model: Any) -> dict[str, Any]:
    dumped = model.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    return cast(dict[str, Any], dumped)
