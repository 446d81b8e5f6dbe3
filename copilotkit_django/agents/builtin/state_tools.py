"""The two tools the model changes the shared state with."""

from __future__ import annotations

from typing import Any

SNAPSHOT_TOOL = "AGUISendStateSnapshot"
DELTA_TOOL = "AGUISendStateDelta"

#: Name, description and parameters of both, as the model is offered them.
STATE_TOOLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        SNAPSHOT_TOOL,
        "Replace the whole application state. Everything that is not in the snapshot is gone.",
        {
            "type": "object",
            "properties": {"snapshot": {"description": "The complete new state."}},
            "required": ["snapshot"],
        },
    ),
    (
        DELTA_TOOL,
        "Change parts of the application state by JSON Patch operations (RFC 6902), applied in "
        "order, all or none.",
        {
            "type": "object",
            "properties": {
                "delta": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "op": {"type": "string", "enum": ["add", "replace", "remove"]},
                            "path": {
                                "type": "string",
                                "description": "A JSON pointer, such as /items/0/done. /items/- "
                                "appends to a list.",
                            },
                            "value": {"description": "For add and replace: the new value."},
                        },
                        "required": ["op", "path"],
                    },
                }
            },
            "required": ["delta"],
        },
    ),
)


class InvalidState(ValueError):
    """The model called a state tool with something else than a state or a patch."""


def state_event(name: str, arguments: Any) -> dict[str, Any]:
    """The state event a call of one of the two tools stands for. Raises `InvalidState`."""
    if not isinstance(arguments, dict):
        raise InvalidState("The arguments must be an object.")
    if name == SNAPSHOT_TOOL:
        if "snapshot" not in arguments:
            raise InvalidState("snapshot is missing.")
        return {"type": "STATE_SNAPSHOT", "snapshot": arguments["snapshot"]}
    delta = arguments.get("delta")
    if not isinstance(delta, list) or not all(isinstance(operation, dict) for operation in delta):
        raise InvalidState("delta must be a list of JSON Patch operations.")
    for operation in delta:
        if operation.get("op") in ("add", "replace") and "value" not in operation:
            raise InvalidState(f"{operation['op']} needs a value.")
    return {"type": "STATE_DELTA", "delta": delta}
