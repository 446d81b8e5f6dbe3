"""What an app on the page asks of its MCP server, through the server of the page."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from copilotkit_django.agents.base import RunContext, RunInput
from copilotkit_django.agents.middleware.mcp_apps.servers import AppServer
from copilotkit_django.agents.middleware.mcp_apps.tools import FRESH_SECONDS, Listings
from copilotkit_django.events.wire import encode

logger = logging.getLogger("copilotkit.mcp")

#: The key of ``forwardedProps`` that makes a run such a request.
KEY = "__proxiedMCPRequest"

#: A tool that a listing does not have may have been added since: one is asked for that is newer.
NEWER_SECONDS = 5.0


class Rejected(Exception):
    """A request that is not passed on. The text is ours."""


class ProxiedRequest:
    """One request of one app: a method of MCP, and for which server.

    Only what apps need is passed on: resources of the ``ui://`` scheme, tools that the server lets
    apps call, ping. Messages for the log end there.
    """

    def __init__(
        self, context: RunContext, servers: Sequence[AppServer], listings: Listings
    ) -> None:
        self._context = context
        self._listings = listings
        request = context.input.forwarded_props[KEY]
        self._request: dict[str, Any] = request if isinstance(request, dict) else {}
        params = self._request.get("params")
        self._params: dict[str, Any] = params if isinstance(params, dict) else {}
        #: The server that is meant, if it is one of the agent's.
        self.server = self._find(servers)

    @staticmethod
    def is_in(run_input: RunInput) -> bool:
        """Whether a run is such a request."""
        props = run_input.forwarded_props
        return isinstance(props, dict) and props.get(KEY) is not None

    def _find(self, servers: Sequence[AppServer]) -> AppServer | None:
        server_id, digest = self._request.get("serverId"), self._request.get("serverHash")
        for server in servers:
            if server_id and server.server_id == server_id:
                return server
        found = [server for server in servers if server.hash == digest]
        return found[0] if len(found) == 1 else None

    async def run(self) -> AsyncIterator[dict[str, Any]]:
        """The events of a run that does what is asked: its result is that of the server."""
        # The page waits for the result of this run only, and knows the run by its own id.
        ids = {"threadId": self._context.run_id, "runId": self._context.run_id}
        yield {"type": "RUN_STARTED", **ids}
        yield {"type": "RUN_FINISHED", **ids, "result": await self.answer()}

    async def answer(self) -> dict[str, Any]:
        """The result of the request, or ``{"error": …}``."""
        from copilotkit_django.agents.middleware.mcp_apps.client import ServerFailed

        server, method = self.server, self._request.get("method")
        if server is None:
            named = self._request.get("serverId") or self._request.get("serverHash")
            return {"error": f"Unknown server: {str(named)[:100]}"}
        try:
            match method:
                case "resources/read":
                    return await self._read(server)
                case "tools/call":
                    return await self._call(server)
                case "ping":
                    return await self._ping(server)
                case "notifications/message":
                    text = encode(self._params)[:2000].decode(errors="replace")
                    logger.debug("An app of MCP server %s says: %s", server.name, text)
                    return {"success": True}
            raise Rejected(f"MCP method not allowed for UI proxy: {str(method)[:100]}")
        except Rejected as rejected:
            return {"error": str(rejected)}
        except ServerFailed as error:
            logger.warning("MCP server %s failed at %s: %s", server.name, method, error)
        except Exception:
            logger.exception("A request of an app for MCP server %s failed.", server.name)
        return {"error": "MCP request failed"}

    async def _read(self, server: AppServer) -> dict[str, Any]:
        from copilotkit_django.agents.middleware.mcp_apps.client import read_resource

        uri = self._params.get("uri")
        if not isinstance(uri, str) or not uri.startswith("ui://"):
            raise Rejected("An app may read ui:// resources only")
        return await read_resource(server, await server.headers_for(self._context), uri)

    async def _call(self, server: AppServer) -> dict[str, Any]:
        from copilotkit_django.agents.middleware.mcp_apps.client import call_tool

        name, arguments = self._params.get("name"), self._params.get("arguments")
        arguments = {} if arguments is None else arguments
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise Rejected("A tool is called with its name and an object of arguments")
        if not await self._may_call(server, name):
            raise Rejected(f"An app may not call the tool {name[:100]!r}")
        headers = await server.headers_for(self._context)
        return await call_tool(server, headers, name, arguments)

    async def _may_call(self, server: AppServer, name: str) -> bool:
        for seconds in (FRESH_SECONDS, NEWER_SECONDS):
            for tool in await self._listings.tools(server, self._context, at_most=seconds):
                if tool.name == name:
                    return tool.for_apps
        return False

    async def _ping(self, server: AppServer) -> dict[str, Any]:
        from copilotkit_django.agents.middleware.mcp_apps.client import ping

        return await ping(server, await server.headers_for(self._context))
