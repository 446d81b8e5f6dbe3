"""MCP Apps: tools of MCP servers that bring interfaces with them, for any agent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

from django.core.exceptions import ImproperlyConfigured

from copilotkit_django.agents.base import RunContext, RunInput
from copilotkit_django.agents.middleware.base import AgentMiddleware, Next
from copilotkit_django.agents.middleware.calls import OpenCalls, ToolCall
from copilotkit_django.agents.middleware.mcp_apps.proxied import ProxiedRequest
from copilotkit_django.agents.middleware.mcp_apps.servers import AppServer, servers_from
from copilotkit_django.agents.middleware.mcp_apps.tools import AppTool, Listings
from copilotkit_django.events.wire import decode, encode

__all__ = ["AppServer", "MCPApps"]

logger = logging.getLogger("copilotkit.mcp")

#: The activity that pages show an app for.
ACTIVITY = "mcp-apps"

#: What a model is told of a call that came to nothing.
FAILED = "The tool could not be called."
NO_OBJECT = "The arguments of a tool must be a JSON object."


class MCPApps(AgentMiddleware):
    """Offers agents the tools of MCP servers that have interfaces, and shows these.

    ``servers`` are `AppServer` objects or mappings of their options. Calls of their tools that are
    unanswered at the end of a run are made here; the answer goes to the model as the result of the
    call, and to the page with the interface. What interfaces ask of their server comes as runs
    with ``forwardedProps.__proxiedMCPRequest``: those never reach an agent.

    Requests for a server it does not have are left to what is further inside, unless it is the
    ``last``.

    Raises `ImproperlyConfigured` for servers that cannot be used. Needs the ``mcp`` extra.
    """

    on_suggestions = False

    def __init__(self, servers: Iterable[Any] = (), *, last: bool = False) -> None:
        self.servers = servers_from(servers)
        self._last = last
        # The parts of the official client since it has been split, in its second version.
        if self.servers and find_spec("mcp_types") is None:
            raise ImproperlyConfigured(
                "MCP Apps need the official MCP client, 2.3 or later: "
                "pip install 'copilotkit-django[mcp]'."
            )
        self._listings = Listings()

    def serves(self, agent_id: str) -> bool:
        """Whether there are servers for that agent."""
        return any(server.serves(agent_id) for server in self.servers)

    def is_aside(self, run_input: RunInput) -> bool:
        return ProxiedRequest.is_in(run_input)

    async def run(self, context: RunContext, next: Next) -> AsyncIterator[dict[str, Any]]:
        servers = [server for server in self.servers if server.serves(context.agent_id)]
        if ProxiedRequest.is_in(context.input):
            request = ProxiedRequest(context, servers, self._listings)
            async for event in request.run() if self._last or request.server else next(context):
                yield event
            return
        tools = self._offered(await self._listings.of_all(servers, context), context)
        if tools:
            context = context.with_input(
                tools=[*context.input.tools, *(tool.for_agent() for tool in tools.values())]
            )
        calls = OpenCalls(tools.__contains__, context.input)
        held: dict[str, Any] | None = None
        async for event in next(context):
            if held is not None:
                yield held
                held = None
            if event["type"] == "RUN_FINISHED" and tools:
                held = event
                continue
            calls.see(event)
            yield event
        if held is not None:
            # Together: each may take as long as its server lets it.
            async with asyncio.TaskGroup() as group:
                made = [group.create_task(_made(tools[c.name], c, context)) for c in calls]
            for task in made:
                for event in task.result():
                    yield event
            yield held

    def _offered(self, tools: Iterable[AppTool], context: RunContext) -> dict[str, AppTool]:
        taken = {tool["name"] for tool in context.input.tools}
        offered: dict[str, AppTool] = {}
        for tool in tools:
            if tool.resource_uri is None or not tool.for_model:
                continue
            if tool.name in taken or tool.name in offered:
                logger.warning(
                    "The tool %s of MCP server %s is not offered: there is another of that name.",
                    tool.name,
                    tool.server.name,
                )
                continue
            offered[tool.name] = tool
        return offered


async def _made(tool: AppTool, call: ToolCall, context: RunContext) -> list[dict[str, Any]]:
    """The events for one call: its result, and what the page shows."""
    from copilotkit_django.agents.middleware.mcp_apps.client import ServerFailed, call_tool

    try:
        arguments = decode(call.arguments.encode(errors="surrogatepass")) if call.arguments else {}
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        return [_result(call, _text({"error": NO_OBJECT}))]
    server = tool.server
    try:
        headers = await server.headers_for(context)
        result = await call_tool(server, headers, tool.name, arguments)
    except ServerFailed as error:
        logger.warning("MCP server %s failed at %s: %s", server.name, tool.name, error)
        return [_result(call, _text({"error": FAILED}))]
    except Exception:
        logger.exception("There are no headers for MCP server %s.", server.name)
        return [_result(call, _text({"error": FAILED}))]
    content: dict[str, Any] = {
        "result": result,
        "resourceUri": tool.resource_uri,
        "serverHash": server.hash,
        "toolInput": arguments,
    }
    if server.server_id is not None:
        content["serverId"] = server.server_id
    return [
        _result(call, _said(result)),
        {
            "type": "ACTIVITY_SNAPSHOT",
            "messageId": uuid4().hex,
            "activityType": ACTIVITY,
            "content": content,
            "replace": True,
        },
    ]


def _result(call: ToolCall, content: str) -> dict[str, Any]:
    return {
        "type": "TOOL_CALL_RESULT",
        "messageId": uuid4().hex,
        "toolCallId": call.id,
        "role": "tool",
        "content": content,
    }


def _said(result: dict[str, Any]) -> str:
    """What a model is told: the text in a result, or all of it as JSON."""
    content = result.get("content") or []
    texts = [part.get("text") for part in content if part.get("type") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str)) or _text(content)


def _text(value: Any) -> str:
    return encode(value).decode()
