"""Asking the person before a tool does what cannot be undone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The ``reason`` of an interrupt that asks whether a tool may be called.
REASON = "tool_approval"

#: What the page is to answer such an interrupt with.
RESPONSE_SCHEMA = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "reason": {"type": "string", "description": "Why not; the agent reads it."},
    },
    "required": ["approved"],
}


class ApprovalRequired(Exception):
    """A tool was called that may go on only once the person has agreed.

    Nothing has been done yet. Whoever drives the tools ends the run with `interrupt` and calls the
    tool again, in a context that says ``approved``, when the run is resumed with a yes.
    """

    def __init__(self, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        #: The question, as the person reads it. It may have been a lazy translation.
        self.message = str(message)
        #: What the page may want to show beside it; must be JSON.
        self.metadata = dict(metadata or {})
        #: Which call it is about; filled in by `Tool.call`.
        self.tool = ""
        self.tool_call_id = ""

    def interrupt(self) -> dict[str, Any]:
        """The interrupt in wire form. Its id is that of the tool call."""
        return {
            "id": self.tool_call_id,
            "reason": REASON,
            "message": self.message,
            "toolCallId": self.tool_call_id,
            "responseSchema": RESPONSE_SCHEMA,
            "metadata": {**self.metadata, "toolName": self.tool},
        }


def is_approved(answer: Mapping[str, Any]) -> bool:
    """Whether an entry of a run's ``resume`` says yes.

    Its payload is ``true`` or ``{"approved": true}``; anything else is a no.
    """
    payload = answer.get("payload")
    return answer.get("status") == "resolved" and (
        payload is True or (isinstance(payload, Mapping) and payload.get("approved") is True)
    )
