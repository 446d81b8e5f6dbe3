"""Tables of the shapes of AG-UI events, messages and outcomes.

An event is checked against the union of what AG-UI 0.0.59 and 1.0 describe: a form of 1.0 that
0.0.59 lacks is valid here and rewritten by ``downlevel``; a form both refuse is refused here.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

#: The largest integer that survives a JavaScript number.
MAX_SAFE_INTEGER: Final = 2**53 - 1

#: Takes a value and returns the value to send: the same object when nothing had to change.
Check = Callable[[Any], Any]


class Wrong(Exception):
    """A value of the wrong shape; the path grows while the error travels outwards."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def inside(self, place: str) -> "Wrong":
        """Say where the value stands in the object or list that holds it."""
        if not self.path or self.path.startswith("["):
            self.path = place + self.path
        else:
            self.path = f"{place}.{self.path}"
        return self


class Shape(NamedTuple):
    """What one kind of object must look like. Keys it does not name pass through."""

    fields: dict[str, Check | None]
    """Check per known key; None stands for "a string", the most common case."""
    required: tuple[str, ...]
    nullable: frozenset[str]
    """Optional keys: a null there means absent, and is left out."""
    defaults: dict[str, Callable[[], Any]]
    """What to put where a required key is absent and its value is beyond doubt."""


_EXTRA: Final = object()


def conform(shape: Shape, value: Any) -> Any:
    """Return ``value`` in the given shape, the same object if nothing changes, or raise Wrong."""
    if not isinstance(value, dict):
        raise Wrong("must be an object")
    fields = shape.fields
    dropped: list[str] | None = None
    changed: dict[str, Any] | None = None
    for key, item in value.items():
        check = fields.get(key, _EXTRA)
        if check is _EXTRA:
            continue
        if item is None and key in shape.nullable:
            dropped = [key] if dropped is None else [*dropped, key]
        elif check is None:
            if not isinstance(item, str):
                raise Wrong("must be a string", key)
        else:
            try:
                kept = check(item)  # type: ignore[operator]
            except Wrong as error:
                raise error.inside(key) from None
            if kept is not item:
                changed = {} if changed is None else changed
                changed[key] = kept
    for key in shape.required:
        if key not in value:
            raise Wrong("is missing", key)
    for key, make in shape.defaults.items():
        if value.get(key) is None and (key not in value or key in shape.nullable):
            changed = {} if changed is None else changed
            changed[key] = make()
    if dropped is not None:
        value = {key: item for key, item in value.items() if key not in dropped}
    if changed is not None:
        value = {**value, **changed}
    return value


def _shape(
    required: Mapping[str, Check | None] | None = None,
    optional: Mapping[str, Check | None] | None = None,
    defaults: Mapping[str, Callable[[], Any]] | None = None,
) -> Shape:
    required, optional, defaults = required or {}, optional or {}, defaults or {}
    return Shape(
        fields={**required, **optional},
        required=tuple(key for key in required if key not in defaults),
        nullable=frozenset(optional),
        defaults=dict(defaults),
    )


def anything(value: Any) -> Any:
    return value


def text(value: Any) -> Any:
    if not isinstance(value, str):
        raise Wrong("must be a string")
    return value


def flag(value: Any) -> Any:
    if not isinstance(value, bool):
        raise Wrong("must be true or false")
    return value


def mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        raise Wrong("must be an object")
    return value


def moment(value: Any) -> Any:
    """A time stamp. AG-UI 1.0 wants an integer where ``time.time() * 1000`` gives a float."""
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Wrong("must be a number")
    if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        raise Wrong("must be a number JavaScript can hold")
    return value


def count(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Wrong("must be a whole number")
    if not 0 <= value <= MAX_SAFE_INTEGER:
        raise Wrong("must be a whole number, not negative")
    return value


def one_of(*values: str) -> Check:
    allowed = frozenset(values)
    problem = "must be " + " or ".join(f'"{value}"' for value in values)

    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise Wrong(problem)
        return value

    return check


def an(shape: Shape) -> Check:
    return lambda value: conform(shape, value)


def each(check: Check) -> Check:
    """A list of values that each pass ``check``."""

    def check_list(values: Any) -> Any:
        if not isinstance(values, list):
            raise Wrong("must be a list")
        changed: list[Any] | None = None
        for index, value in enumerate(values):
            try:
                kept = check(value)
            except Wrong as error:
                raise error.inside(f"[{index}]") from None
            if kept is not value:
                changed = list(values) if changed is None else changed
                changed[index] = kept
        return values if changed is None else changed

    return check_list


def by(key: str, shapes: Mapping[str, Shape]) -> Check:
    """An object whose ``key`` says which of the shapes it has."""
    problem = "must be one of " + ", ".join(shapes)

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("must be an object")
        kind = value.get(key)
        shape = shapes.get(kind) if isinstance(kind, str) else None
        if shape is None:
            raise Wrong(problem, key)
        return conform(shape, value)

    return check


def text_or(check: Check) -> Check:
    return lambda value: value if isinstance(value, str) else check(value)


_POINTER = re.compile(r"(?:/(?:[^/~]|~[01])*)*")


def pointer(value: Any) -> Any:
    if not isinstance(value, str) or not _POINTER.fullmatch(value):
        raise Wrong("must be a JSON pointer")
    return value


_with_value = _shape({"path": pointer, "value": anything})
_with_source = _shape({"path": pointer, "from": pointer})
patch = each(
    by(
        "op",
        {
            "add": _with_value,
            "replace": _with_value,
            "test": _with_value,
            "move": _with_source,
            "copy": _with_source,
            "remove": _shape({"path": pointer}),
        },
    )
)

_source = by(
    "type",
    {
        "data": _shape({"value": None, "mimeType": None}),
        "url": _shape({"value": None}, {"mimeType": None}),
        "file": _shape({"value": None}, {"mimeType": None, "provider": None}),
    },
)
_part_options: dict[str, Check | None] = {"id": None, "metadata": anything}
_media = _shape({"source": _source}, _part_options)
_binary = _shape({"mimeType": None}, {"id": None, "url": None, "data": None, "filename": None})
_parts_by_type = by(
    "type",
    {
        "text": _shape({"text": None}, _part_options),
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

_tool_call = _shape(
    {
        "id": None,
        "type": one_of("function"),
        "function": an(_shape({"name": None, "arguments": None})),
    },
    {"encryptedValue": None, "metadata": mapping},
)
_owned: dict[str, Check | None] = {"subagentRunId": None, "metadata": mapping}
_sealed: dict[str, Check | None] = {**_owned, "encryptedValue": None}
_named: dict[str, Check | None] = {**_sealed, "name": None}
_instruction = _shape({"id": None, "content": None}, _named)

message = by(
    "role",
    {
        "developer": _instruction,
        "system": _instruction,
        "assistant": _shape(
            {"id": None}, {**_named, "content": None, "toolCalls": each(an(_tool_call))}
        ),
        "user": _shape({"id": None, "content": text_or(parts)}, _named),
        "tool": _shape(
            {"id": None, "toolCallId": None, "content": text_or(parts)},
            {**_sealed, "error": None},
        ),
        "activity": _shape({"id": None, "activityType": None, "content": mapping}, _owned),
        "reasoning": _shape({"id": None, "content": None}, _sealed),
    },
)
messages = each(message)

run_input = _shape(
    {
        "threadId": None,
        "runId": None,
        "messages": messages,
    },
    {
        # Both lists are optional in 1.0, and a 0.0.59 client drops the frame without them.
        "tools": each(
            an(
                _shape(
                    {"name": None, "description": None},
                    {"parameters": anything, "metadata": mapping},
                )
            )
        ),
        "context": each(an(_shape({"description": None, "value": None}))),
        "protocolVersion": None,
        "parentRunId": None,
        "forwardedProps": anything,
        "resume": each(
            an(
                _shape(
                    {"interruptId": None, "status": one_of("resolved", "cancelled")},
                    {"payload": anything, "metadata": mapping},
                )
            )
        ),
    },
    {"tools": list, "context": list},
)

_interrupt = _shape(
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
        "success": _shape({}, {"pendingToolCallIds": each(text)}),
        "interrupt": _shape({"interrupts": interrupts}),
        "cancelled": _shape(),
    },
)
subagent_outcome = by(
    "type", {"success": _shape(), "suspended": _shape({}, {"interruptIds": each(text)})}
)
usage = each(
    an(
        _shape(
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
    return _shape(required, optional, defaults)


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
