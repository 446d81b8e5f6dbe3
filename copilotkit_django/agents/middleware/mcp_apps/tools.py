"""The tools of MCP servers: which of them may be offered and called, and how often one asks."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents.middleware.mcp_apps.servers import AppServer
from copilotkit_django.events.wire import encode

if TYPE_CHECKING:
    from copilotkit_django.agents.base import RunContext

logger = logging.getLogger("copilotkit.mcp")

#: A listing counts for so long; one that failed is not asked for again for so long.
FRESH_SECONDS = 60.0
FAILED_SECONDS = 15.0

#: A run does not wait longer than this to learn which tools there are.
LISTING_SECONDS = 5.0

#: So many listings are remembered: one for each server and set of headers.
MOST_LISTINGS = 1000

#: More than this of one server is more than a model can choose from.
MOST_TOOLS = 128
MOST_DESCRIPTION = 4096
MOST_SCHEMA_BYTES = 64 * 1024

#: A server with more to complain of is complained of briefly.
MOST_LINES = 5

#: What model providers take for the name of a tool.
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class AppTool:
    """One tool of one server."""

    server: AppServer
    name: str
    description: str
    parameters: dict[str, Any]
    #: The resource with its interface, if it has one.
    resource_uri: str | None
    #: Who may call it.
    for_model: bool
    for_apps: bool

    def for_agent(self) -> dict[str, Any]:
        """The tool as agents are given it."""
        return {
            "name": self.name,
            "description": f"{self.description}\n[UI Resource: {self.resource_uri}]",
            "parameters": self.parameters,
        }


class Listings:
    """What the servers said they have, for a minute. Belongs to all runs of a process."""

    def __init__(self) -> None:
        self._known: OrderedDict[Any, _Listing] = OrderedDict()

    async def tools(
        self, server: AppServer, context: RunContext, *, at_most: float = FRESH_SECONDS
    ) -> list[AppTool]:
        """The tools of a server for one run, not older than so many seconds.

        A server that cannot be asked has none, and a line in the log.
        """
        try:
            headers = await server.headers_for(context)
        except Exception:
            logger.exception("There are no headers for MCP server %s; it is skipped.", server.name)
            return []
        key = server.server_id or server.hash, tuple(sorted(headers.items()))
        listing = self._known.get(key)
        now = time.monotonic()
        if listing is not None:
            self._known.move_to_end(key)
            limit = at_most if listing.good else FAILED_SECONDS
            if now - listing.asked < limit:
                return listing.tools
            # Whoever asks meanwhile is given what there is.
            listing.asked = now
        asked = await _ask(server, headers)
        if asked.good or listing is None or not listing.good:
            self._known[key] = asked
            while len(self._known) > MOST_LISTINGS:
                self._known.popitem(last=False)
        return asked.tools

    async def of_all(self, servers: Iterable[AppServer], context: RunContext) -> list[AppTool]:
        """The tools of several servers, which are asked at the same time."""
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self.tools(server, context)) for server in servers]
        return [tool for task in asked for tool in task.result()]


@dataclass(slots=True)
class _Listing:
    tools: list[AppTool]
    asked: float
    good: bool


async def _ask(server: AppServer, headers: Mapping[str, str]) -> _Listing:
    from copilotkit_django.agents.middleware.mcp_apps.client import ServerFailed, list_tools

    try:
        listed = await list_tools(server, headers, min(server.timeout, LISTING_SECONDS))
    except ServerFailed as error:
        logger.warning("MCP server %s is skipped: %s", server.name, error)
        return _Listing([], time.monotonic(), good=False)
    # Looking at schemas takes its time, and a server may have sent many.
    tools = await asyncio.to_thread(usable, server, listed)
    return _Listing(tools, time.monotonic(), good=True)


def usable(server: AppServer, listed: Iterable[dict[str, Any]]) -> list[AppTool]:
    """The tools of a listing that can be used, each once. What is wrong with others is logged."""
    tools: dict[str, AppTool] = {}
    problems: list[str] = []
    for tool in listed:
        name = tool["name"]
        if server.tools is not None and name not in server.tools:
            continue
        if len(tools) == MOST_TOOLS:
            problems.append(f"there are more than {MOST_TOOLS}.")
            break
        problem = f"there are two named {name!r}." if name in tools else _problem(tool)
        if problem is None:
            tools[name] = _app_tool(server, tool)
        else:
            problems.append(problem)
    for problem in problems[:MOST_LINES]:
        logger.warning("A tool of MCP server %s is skipped: %s", server.name, problem)
    if len(problems) > MOST_LINES:
        more = len(problems) - MOST_LINES
        logger.warning("%s more tools of MCP server %s are skipped.", more, server.name)
    return list(tools.values())


def _app_tool(server: AppServer, tool: Mapping[str, Any]) -> AppTool:
    uri, visibility = interface(tool)
    return AppTool(
        server=server,
        name=tool["name"],
        description=CONTROL.sub("", tool.get("description") or "")[:MOST_DESCRIPTION],
        parameters=tool["inputSchema"],
        resource_uri=uri,
        for_model="model" in visibility,
        for_apps="app" in visibility,
    )


def interface(tool: Mapping[str, Any]) -> tuple[str | None, list[Any]]:
    """The resource with a tool's interface, and who may call the tool, by either published form."""
    meta = tool.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    ui = meta.get("ui")
    ui = ui if isinstance(ui, dict) else {}
    uri = ui.get("resourceUri")
    if not isinstance(uri, str):
        uri = meta.get("ui/resourceUri")
    visibility = ui.get("visibility", ["model", "app"])
    return (
        uri if isinstance(uri, str) and uri.startswith("ui://") else None,
        visibility if isinstance(visibility, list) else [],
    )


def _problem(tool: Mapping[str, Any]) -> str | None:
    name, schema = tool["name"], tool["inputSchema"]
    if not NAME.fullmatch(name):
        return f"its name is {name[:100]!r}."
    try:
        size = len(encode(schema))
    except ValueError:
        return f"the parameters of {name!r} cannot be written as JSON."
    if size > MOST_SCHEMA_BYTES:
        return f"the parameters of {name!r} are described in more than {MOST_SCHEMA_BYTES} bytes."
    return _schema_problem(name, schema)


def _schema_problem(name: str, schema: Any) -> str | None:
    from jsonschema import Draft202012Validator, SchemaError

    if not isinstance(schema, dict) or schema.get("type") != "object":
        return f"the parameters of {name!r} are not those of an object."
    if any(not reference.startswith("#") for reference in _references(schema)):
        return f"the parameters of {name!r} refer to another document."
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return f"the parameters of {name!r} are not described by a JSON schema."
    return None


def _references(schema: Any) -> Iterable[str]:
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            for key in ("$ref", "$dynamicRef"):
                if isinstance(value.get(key), str):
                    yield value[key]
