"""What the model may call in one run, and who answers which call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from copilotkit_django.agents.builtin.state_tools import STATE_TOOLS, InvalidState, state_event
from copilotkit_django.agents.tools import ToolResult
from copilotkit_django.events.wire import InvalidEvent, encode

if TYPE_CHECKING:
    from pydantic_ai.tools import ToolDefinition

    from copilotkit_django.agents.tools import Tool, ToolContext


class RunRefused(Exception):
    """A run that cannot be carried out as it was asked for. The text is ours and is sent."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Callee(Protocol):
    """Something of the server's that a call is carried out by."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def parameters(self) -> dict[str, Any]: ...

    async def call(self, arguments: Any, context: ToolContext) -> ToolResult: ...


@dataclass(frozen=True, slots=True)
class StateTool:
    """One of the two tools that change the shared state."""

    name: str
    description: str
    parameters: dict[str, Any]

    async def call(self, arguments: Any, context: ToolContext) -> ToolResult:
        """Put the state event into the stream; what does not fit is told to the model."""
        try:
            event = state_event(self.name, arguments)
            context.emit(event)
        except (InvalidState, InvalidEvent) as error:
            return ToolResult(str(error), error=True)
        done = {key: value for key, value in event.items() if key != "type"}
        return ToolResult(encode({"success": True, **done}).decode())


#: Ready to be offered.
STATE_CALLEES = tuple(StateTool(*each) for each in STATE_TOOLS)


class Offer:
    """The tools of one run by name. A later one takes the place of an earlier of the same name.

    So a tool of the server wins over one of the page, as in the original.
    """

    def __init__(self) -> None:
        self._definitions: dict[str, ToolDefinition] = {}
        self._callees: dict[str, Callee] = {}
        self._interrupts: dict[str, Tool] = {}

    def add_client_tools(self, tools: Iterable[Mapping[str, Any]]) -> None:
        """Offer the tools of the page, which answers their calls with its next run.

        Raises `RunRefused` for one whose parameters are no schema of an object.
        """
        for tool in tools:
            schema = tool.get("parameters")
            schema = {} if schema is None else schema
            if not isinstance(schema, dict) or schema.get("type", "object") != "object":
                raise RunRefused(
                    f"The parameters of the tool {tool['name']!r} are no JSON schema of an object.",
                    "INVALID_TOOL",
                )
            schema = {"type": "object", "properties": {}, **schema}
            self._define(tool["name"], tool["description"], schema, strict=False)

    def add_tools(self, tools: Iterable[Tool]) -> None:
        """Offer the tools of the agent; those that interrupt are answered by the page."""
        for tool in tools:
            if tool.interrupt:
                self._define(tool.name, tool.description, tool.parameters)
                self._interrupts[tool.name] = tool
            else:
                self.add_callee(tool)

    def add_callee(self, callee: Callee, *, strict: bool | None = None) -> None:
        """Offer something of the server's."""
        self._define(callee.name, callee.description, callee.parameters, strict=strict)
        self._callees[callee.name] = callee

    def _define(
        self, name: str, description: str, schema: dict[str, Any], *, strict: bool | None = None
    ) -> None:
        from pydantic_ai.tools import ToolDefinition

        self._callees.pop(name, None)
        self._interrupts.pop(name, None)
        self._definitions[name] = ToolDefinition(
            name=name,
            # It may be a lazy translation.
            description=str(description),
            parameters_json_schema=schema,
            strict=strict,
        )

    @property
    def definitions(self) -> list[ToolDefinition]:
        """What the model is told of."""
        return list(self._definitions.values())

    def knows(self, name: str) -> bool:
        return name in self._definitions

    def only(self, name: str) -> list[ToolDefinition]:
        """What the model is told of when it is to know one tool."""
        return [self._definitions[name]]

    def callee(self, name: str) -> Callee | None:
        """Who carries out a call here; ``None``: the page, or nobody."""
        return self._callees.get(name)

    def interrupt(self, name: str) -> Tool | None:
        """The interrupt tool of that name."""
        return self._interrupts.get(name)
