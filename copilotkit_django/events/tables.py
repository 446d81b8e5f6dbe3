"""Tables of the shapes of AG-UI events, messages and outcomes.

They hold the union of what AG-UI 0.0.59 and 1.0 describe: a form of 1.0 that 0.0.59 lacks is valid
here and rewritten by ``downlevel``; a form both refuse is refused here.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from copilotkit_django.events.shapes import (
    Check,
    Shape,
    Wrong,
    an,
    anything,
    by,
    count,
    each,
    flag,
    mapping,
    moment,
    one_of,
    shape,
    text,
    text_or,
)

_POINTER = re.compile(r"(?:/(?:[^/~]|~[01])*)*")


def pointer(value: Any) -> Any:
    if not isinstance(value, str) or not _POINTER.fullmatch(value):
        raise Wrong("must be a JSON pointer")
    return value


_with_value = shape({"path": pointer, "value": anything})
_with_source = shape({"path": pointer, "from": pointer})
patch = each(
    by(
        "op",
        {
            "add": _with_value,
            "replace": _with_value,
            "test": _with_value,
            "move": _with_source,
            "copy": _with_source,
            "remove": shape({"path": pointer}),
        },
    )
)

_source = by(
    "type",
    {
        "data": shape({"value": None, "mimeType": None}),
        "url": shape({"value": None}, {"mimeType": None}),
        "file": shape({"value": None}, {"mimeType": None, "provider": None}),
    },
)
_part_options: dict[str, Check | None] = {"id": None, "metadata": anything}
_media = shape({"source": _source}, _part_options)
_binary = shape({"mimeType": None}, {"id": None, "url": None, "data": None, "filename": None})
_parts_by_type = by(
    "type",
    {
        "text": shape({"text": None}, _part_options),
        "image": _media,
        "audio": _media,
        "video": _media,
        "document": _media,
        "binary": _binary,
    },
)


def part(value: Any) -> Any:
    """One part of a message; ``binary`` is the form clients before 1.0 send attachments in."""
    value = _parts_by_type(value)
    if value["type"] == "binary" and not any(value.get(key) for key in ("id", "url", "data")):
        raise Wrong("needs an id, a url or data")
    return value


parts = each(part)

_tool_call = shape(
    {
        "id": None,
        "type": one_of("function"),
        "function": an(shape({"name": None, "arguments": None})),
    },
    {"encryptedValue": None, "metadata": mapping},
)
_owned: dict[str, Check | None] = {"subagentRunId": None, "metadata": mapping}
_sealed: dict[str, Check | None] = {**_owned, "encryptedValue": None}
_named: dict[str, Check | None] = {**_sealed, "name": None}
_instruction = shape({"id": None, "content": None}, _named)

message = by(
    "role",
    {
        "developer": _instruction,
        "system": _instruction,
        "assistant": shape(
            {"id": None}, {**_named, "content": None, "toolCalls": each(an(_tool_call))}
        ),
        "user": shape({"id": None, "content": text_or(parts)}, _named),
        "tool": shape(
            {"id": None, "toolCallId": None, "content": text_or(parts)},
            {**_sealed, "error": None},
        ),
        "activity": shape({"id": None, "activityType": None, "content": mapping}, _owned),
        "reasoning": shape({"id": None, "content": None}, _sealed),
    },
)
messages = each(message)

run_input = shape(
    {
        "threadId": None,
        "runId": None,
        "messages": messages,
    },
    {
        # Both lists are optional in 1.0, and a 0.0.59 client drops the frame without them.
        "tools": each(
            an(
                shape(
                    {"name": None, "description": None},
                    {"parameters": anything, "metadata": mapping},
                )
            )
        ),
        "context": each(an(shape({"description": None, "value": None}))),
        "protocolVersion": None,
        "parentRunId": None,
        "forwardedProps": anything,
        "resume": each(
            an(
                shape(
                    {"interruptId": None, "status": one_of("resolved", "cancelled")},
                    {"payload": anything, "metadata": mapping},
                )
            )
        ),
    },
    {"tools": list, "context": list},
)

_interrupt = shape(
    {"id": None, "reason": None},
    {
        "message": None,
        "toolCallId": None,
        "responseSchema": mapping,
        "expiresAt": None,
        "metadata": mapping,
        "subagentRunId": None,
    },
)
_interrupts_list = each(an(_interrupt))


def interrupts(value: Any) -> Any:
    value = _interrupts_list(value)
    if not value:
        raise Wrong("must not be empty")
    return value


outcome = by(
    "type",
    {
        "success": shape({}, {"pendingToolCallIds": each(text)}),
        "interrupt": shape({"interrupts": interrupts}),
        "cancelled": shape(),
    },
)
subagent_outcome = by(
    "type", {"success": shape(), "suspended": shape({}, {"interruptIds": each(text)})}
)
usage = each(
    an(
        shape(
            {},
            {
                "provider": None,
                "model": None,
                "inputTokens": count,
                "outputTokens": count,
                "totalTokens": count,
                "reasoningTokens": count,
                "cachedInputTokens": count,
                "cacheWriteInputTokens": count,
            },
        )
    )
)
_text_role = one_of("developer", "system", "assistant", "user")

_common: dict[str, Check | None] = {
    "timestamp": moment,
    "rawEvent": anything,
    "metadata": mapping,
    # No client accepts a null here, not even on the events that carry no attribution.
    "subagentRunId": None,
}


def _event(
    required: Mapping[str, Check | None] | None = None,
    optional: Mapping[str, Check | None] | None = None,
    defaults: Mapping[str, Callable[[], Any]] | None = None,
) -> Shape:
    optional = {key: check for key, check in _common.items() if key not in (required or {})} | dict(
        optional or {}
    )
    return shape(required, optional, defaults)


def _null() -> None:
    return None


_message_id = _event({"messageId": None})
_message_delta = _event({"messageId": None, "delta": None})
_step = _event({"stepName": None})

EVENTS: Final[dict[str, Shape]] = {
    "RUN_STARTED": _event(
        {"threadId": None, "runId": None},
        {"parentRunId": None, "protocolVersion": None, "input": an(run_input)},
    ),
    "RUN_FINISHED": _event(
        {"threadId": None, "runId": None},
        {"result": anything, "outcome": outcome, "usage": usage},
    ),
    "RUN_ERROR": _event({"message": None}, {"code": None, "usage": usage}),
    "STEP_STARTED": _step,
    "STEP_FINISHED": _step,
    "TEXT_MESSAGE_START": _event({"messageId": None}, {"role": _text_role, "name": None}),
    "TEXT_MESSAGE_CONTENT": _message_delta,
    "TEXT_MESSAGE_END": _message_id,
    "TEXT_MESSAGE_CHUNK": _event(
        {}, {"messageId": None, "role": _text_role, "delta": None, "name": None}
    ),
    "TOOL_CALL_START": _event(
        {"toolCallId": None, "toolCallName": None}, {"parentMessageId": None}
    ),
    "TOOL_CALL_ARGS": _event({"toolCallId": None, "delta": None}),
    "TOOL_CALL_END": _event({"toolCallId": None}),
    "TOOL_CALL_CHUNK": _event(
        {}, {"toolCallId": None, "toolCallName": None, "parentMessageId": None, "delta": None}
    ),
    "TOOL_CALL_RESULT": _event(
        {"messageId": None, "toolCallId": None, "content": text_or(parts)},
        {"role": one_of("tool")},
    ),
    # A producer that leaves nulls out of its JSON loses these values when they are null.
    "STATE_SNAPSHOT": _event({"snapshot": anything}, defaults={"snapshot": _null}),
    "STATE_DELTA": _event({"delta": patch}),
    "MESSAGES_SNAPSHOT": _event({"messages": messages}),
    "ACTIVITY_SNAPSHOT": _event(
        {"messageId": None, "activityType": None, "content": mapping}, {"replace": flag}
    ),
    "ACTIVITY_DELTA": _event({"messageId": None, "activityType": None, "patch": patch}),
    "REASONING_START": _message_id,
    "REASONING_MESSAGE_START": _event(
        {"messageId": None}, {"role": one_of("reasoning")}, defaults={"role": lambda: "reasoning"}
    ),
    "REASONING_MESSAGE_CONTENT": _message_delta,
    "REASONING_MESSAGE_END": _message_id,
    "REASONING_MESSAGE_CHUNK": _event({}, {"messageId": None, "delta": None}),
    "REASONING_END": _message_id,
    "REASONING_ENCRYPTED_VALUE": _event(
        {"subtype": one_of("message", "tool-call"), "entityId": None, "encryptedValue": None}
    ),
    "RAW": _event({"event": anything}, {"source": None}, defaults={"event": _null}),
    "CUSTOM": _event({"name": None, "value": anything}, defaults={"value": _null}),
    "SUBAGENT_STARTED": _event(
        {"subagentRunId": None, "name": None},
        {
            "description": None,
            "parentSubagentRunId": None,
            "parentToolCallId": None,
            "parentMessageId": None,
        },
    ),
    "SUBAGENT_FINISHED": _event(
        {"subagentRunId": None}, {"result": anything, "outcome": subagent_outcome}
    ),
    "SUBAGENT_ERROR": _event({"subagentRunId": None, "message": None}, {"code": None}),
}
