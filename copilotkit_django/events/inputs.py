"""RunAgentInput as clients send it: checked by shape, reduced to the fields the protocol knows.

The tables accept what AG-UI 0.0.59 and 1.0 clients send, including forms the 1.0 models have
dropped (``binary`` parts). Unknown keys are left out at every level, so they neither reach an agent
nor the echo in ``RUN_STARTED.input``; ``state``, ``forwardedProps`` and other payloads are kept
untouched.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import orjson

#: Longest thread or run id. Ids are stored and indexed.
MAX_ID_LENGTH = 255

#: Deepest nesting of a body. What is read here must be writable again in the echo.
MAX_DEPTH = 200

#: Takes a value and where it stands, returns it reduced to known fields.
Shape = Callable[[Any, str], Any]


class InvalidInput(ValueError):
    """The input is not a RunAgentInput. The text names the place and what was expected there."""


def parse_json(body: bytes) -> Any:
    """The JSON value in ``body``.

    Half emojis (lone surrogates), which browsers do send after cutting a string, are accepted, and
    so is a byte order mark in front. Raises `InvalidInput` for what is not JSON or is nested deeper
    than ``MAX_DEPTH``.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Only a lone surrogate is worth a second, slower look: it is JSON, and orjson refuses it.
        if b"\\u" not in body:
            raise InvalidInput(f"Not valid JSON: {error}") from None
        try:
            value = json.loads(body.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"Not valid JSON: {error}") from None
    # Counting brackets first keeps the walk away from all ordinary bodies.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deeper_than(value, MAX_DEPTH):
        raise InvalidInput(f"Nested deeper than {MAX_DEPTH} levels.")
    return value


def as_text(value: Any) -> str:
    """A JSON value as JavaScript, and so the reference, puts it into a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join("" if item is None else as_text(item) for item in value)
    return "[object Object]" if isinstance(value, dict) else json.dumps(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number.")


def _is_deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return any(isinstance(item, (dict, list)) for item in level)


def _string(value: Any, at: str) -> str:
    if type(value) is not str:
        raise InvalidInput(f"{at}: expected a string, received {_kind(value)}.")
    return value


def _anything(value: Any, at: str) -> Any:
    return value


def _record(value: Any, at: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise InvalidInput(f"{at}: expected an object, received {_kind(value)}.")
    return value


def _identifier(value: Any, at: str) -> str:
    text = _string(value, at)
    if not text.strip():
        raise InvalidInput(f"{at}: must not be blank.")
    if len(text) > MAX_ID_LENGTH:
        raise InvalidInput(f"{at}: longer than {MAX_ID_LENGTH} characters.")
    if not is_storable(text):
        raise InvalidInput(f"{at}: holds characters that cannot be stored.")
    return text


def is_storable(text: str) -> bool:
    """Whether every database can hold ``text``: NUL and half a surrogate pair it cannot."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _one_of(*choices: str) -> Shape:
    def check(value: Any, at: str) -> str:
        if value not in choices or type(value) is not str:
            raise InvalidInput(f"{at}: expected one of {', '.join(choices)}.")
        return value

    return check


def _list_of(item: Shape) -> Shape:
    def check(value: Any, at: str) -> list[Any]:
        if type(value) is not list:
            raise InvalidInput(f"{at}: expected an array, received {_kind(value)}.")
        return [item(entry, f"{at}[{index}]") for index, entry in enumerate(value)]

    return check


def _object(required: Mapping[str, Shape], optional: Mapping[str, Shape]) -> Shape:
    def check(value: Any, at: str) -> dict[str, Any]:
        record = _record(value, at)
        prefix = f"{at}." if at else ""
        for key in required:
            if key not in record:
                raise InvalidInput(f"{prefix}{key}: required.")
        return {
            key: shape(record[key], prefix + key)
            for key in record
            if (shape := required.get(key) or optional.get(key)) is not None
        }

    return check


def _by(key: str, shapes: Mapping[str, Shape]) -> Shape:
    """An object whose shape is told by one of its fields."""

    def check(value: Any, at: str) -> Any:
        kind = _record(value, at).get(key)
        shape = shapes.get(kind) if type(kind) is str else None
        if shape is None:
            raise InvalidInput(f"{at}.{key}: expected one of {', '.join(shapes)}.")
        return shape(value, at)

    return check


def _text_or(parts: Shape) -> Shape:
    def check(value: Any, at: str) -> Any:
        return value if type(value) is str else parts(value, at)

    return check


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {str: "a string", bool: "a boolean", list: "an array", dict: "an object"}
    return names.get(type(value), "a number")


_METADATA = {"metadata": _anything}
_SOURCE = _by(
    "type",
    {
        "data": _object({"type": _string, "value": _string, "mimeType": _string}, {}),
        "url": _object({"type": _string, "value": _string}, {"mimeType": _string}),
        "file": _object(
            {"type": _string, "value": _string}, {"provider": _string, "mimeType": _string}
        ),
    },
)
_MEDIA = _object({"type": _string, "source": _SOURCE}, _METADATA)
_BINARY_FIELDS = _object(
    {"type": _string, "mimeType": _string},
    {"id": _string, "url": _string, "data": _string, "filename": _string},
)


def _binary(value: Any, at: str) -> dict[str, Any]:
    part: dict[str, Any] = _BINARY_FIELDS(value, at)
    if not part.keys() & {"id", "url", "data"}:
        raise InvalidInput(f"{at}: needs one of id, url, data.")
    return part


_PARTS = _list_of(
    _by(
        "type",
        {
            "text": _object({"type": _string, "text": _string}, _METADATA),
            "image": _MEDIA,
            "audio": _MEDIA,
            "video": _MEDIA,
            "document": _MEDIA,
            "binary": _binary,
        },
    )
)
_TOOL_CALL = _object(
    {
        "id": _string,
        "type": _one_of("function"),
        "function": _object({"name": _string, "arguments": _string}, {}),
    },
    {"encryptedValue": _string, **_METADATA},
)


def _message(required: Mapping[str, Shape], optional: Mapping[str, Shape] = {}) -> Shape:
    return _object(
        {"id": _string, "role": _string, **required},
        {
            "metadata": _record,
            "subagentRunId": _string,
            "encryptedValue": _string,
            **optional,
        },
    )


_MESSAGE = _by(
    "role",
    {
        "developer": _message({"content": _string}, {"name": _string}),
        "system": _message({"content": _string}, {"name": _string}),
        "assistant": _message(
            {}, {"content": _string, "toolCalls": _list_of(_TOOL_CALL), "name": _string}
        ),
        "user": _message({"content": _text_or(_PARTS)}, {"name": _string}),
        "tool": _message({"content": _text_or(_PARTS), "toolCallId": _string}, {"error": _string}),
        "activity": _message({"activityType": _string, "content": _record}),
        "reasoning": _message({"content": _string}),
    },
)

_RUN_INPUT = _object(
    {
        "threadId": _identifier,
        "runId": _identifier,
        "messages": _list_of(_MESSAGE),
        "tools": _list_of(
            _object(
                {"name": _string, "description": _string},
                {"parameters": _anything, **_METADATA},
            )
        ),
        "context": _list_of(_object({"description": _string, "value": _string}, {})),
    },
    {
        "state": _anything,
        "forwardedProps": _anything,
        "parentRunId": _string,
        "protocolVersion": _string,
        "resume": _list_of(
            _object(
                {"interruptId": _string, "status": _one_of("resolved", "cancelled")},
                {"payload": _anything, **_METADATA},
            )
        ),
    },
)


def run_input(value: Any) -> dict[str, Any]:
    """The RunAgentInput in ``value``, reduced to known fields. Raises `InvalidInput`."""
    if type(value) is not dict:
        raise InvalidInput(f"Expected an object, received {_kind(value)}.")
    return _RUN_INPUT(value, "")  # type: ignore[no-any-return]
