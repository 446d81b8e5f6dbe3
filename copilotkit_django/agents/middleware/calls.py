"""The tool calls of a run that nobody has answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from copilotkit_django.agents.base import RunInput


@dataclass(slots=True)
class ToolCall:
    """One call, as far as it has been streamed."""

    id: str
    name: str
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        """The text of its arguments."""
        return "".join(self.pieces)


class OpenCalls:
    """Follows the events of a run and knows which calls of certain tools lack a result.

    ``wanted`` says which tools, by name. Calls that were in the conversation before the run are
    none of them.
    """

    def __init__(self, wanted: Callable[[str], bool], run_input: RunInput) -> None:
        self._wanted = wanted
        self._input = run_input
        self._known: set[str] | None = None
        self._open: dict[str, ToolCall] = {}

    def __iter__(self) -> Any:
        return iter(list(self._open.values()))

    def see(self, event: dict[str, Any]) -> None:
        """Take the next event of the run."""
        kind = event["type"]
        if kind == "TOOL_CALL_START":
            if self._wanted(event["toolCallName"]):
                call = ToolCall(event["toolCallId"], event["toolCallName"])
                self._open[call.id] = call
        elif kind == "TOOL_CALL_ARGS":
            found = self._open.get(event["toolCallId"])
            if found is not None:
                found.pieces.append(event["delta"])
        elif kind == "TOOL_CALL_RESULT":
            self._open.pop(event["toolCallId"], None)
        elif kind == "MESSAGES_SNAPSHOT":
            self._see_messages(event["messages"])

    def _see_messages(self, messages: list[dict[str, Any]]) -> None:
        if self._known is None:
            self._known = {
                call["id"] for message in self._input.messages for call in _calls(message)
            }
        for message in messages:
            for call in _calls(message):
                function = call["function"]
                if call["id"] not in self._known and self._wanted(function["name"]):
                    self._open[call["id"]] = ToolCall(
                        call["id"], function["name"], [function["arguments"]]
                    )
        for message in messages:
            if message["role"] == "tool":
                self._open.pop(message["toolCallId"], None)


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    return (message.get("toolCalls") or []) if message["role"] == "assistant" else []
