"""JSON that is read while it is still being written: the arguments of tool calls.

Each character is looked at a bounded number of times, however the text is cut.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

#: Where a value stands: keys and indices from the outermost value on.
Path = tuple[str | int, ...]

#: More containers inside of each other are nothing that anybody draws.
MAX_DEPTH: Final = 256

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_PLAIN: Final = re.compile(r'[^"\\]*')
_LITERAL: Final = re.compile(r"[-+.0-9A-Za-z]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPES: Final = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_OTHER: Final = {"{": "}", "[": "]"}


class JsonStream:
    """Reads one JSON value piece by piece. Subclass it, and override what you want to be told.

    Told of are the outermost value and those up to ``depth`` levels inside of it. Text that is no
    JSON is not an error but an end: nothing is told any more, and ``broken`` is true.
    """

    depth = 1

    def opened(self, path: Path, kind: str) -> None:
        """A value begins: an ``object``, ``array``, ``string`` or ``literal``."""

    def piece(self, path: Path, text: str) -> None:
        """More of a string, decoded. Never half a pair of surrogates whose other half follows."""

    def closed(self, path: Path, kind: str, value: Any) -> None:
        """A value is whole. ``value`` is ``None`` for containers and strings not `wanted`."""

    def wanted(self, path: Path, kind: str) -> bool:
        """Whether `closed` is to be given the value of a container or string."""
        return False

    def __init__(self) -> None:
        self.broken = False
        #: The outermost value is whole.
        self.done = False
        #: The containers that are open, and for each the key or index it is at.
        self._stack: list[str] = []
        self._keys: list[str | int] = []
        #: What may come next: value, item (value or end of an array), member (key or end of an
        #: object), key, colon, next (comma or end).
        self._expected = "value"
        #: What is in the middle of being read: a string, a key, a literal.
        self._reading = ""
        self._told = False
        self._text: list[str] = []
        self._escape = ""
        self._high = ""
        #: What was passed on of the string that is open, if it is wanted.
        self._pieces: list[str] = []
        #: The text of wanted containers that are open: at which level they are, and their pieces.
        self._records: list[tuple[int, list[str]]] = []
        self._starts: list[int] = []

    def feed(self, text: str) -> None:
        """Read on."""
        if self.broken or self.done:
            return
        self._starts = [0] * len(self._records)
        try:
            self._read(text)
        except _NoJson:
            self.broken = True
            self._records.clear()
        for start, (_, parts) in zip(self._starts, self._records, strict=False):
            parts.append(text[start:])

    def _read(self, text: str) -> None:
        position, end = 0, len(text)
        while position < end and not self.done:
            if self._reading:
                position = self._go_on(text, position)
                continue
            position = _end(_SPACE, text, position)
            if position == end:
                break
            position = self._token(text, position)
        if self._reading == "string" and self._told:
            self._pass_on()

    def _token(self, text: str, position: int) -> int:
        char, expected = text[position], self._expected
        if char in "}]":
            self._close(char, text, position)
        elif expected == "colon" and char == ":":
            self._expected = "value"
        elif expected == "next" and char == ",":
            if self._stack[-1] == "{":
                self._expected = "key"
            else:
                self._keys[-1] += 1  # type: ignore[operator]
                self._expected = "value"
        elif char == '"' and expected in ("key", "member"):
            self._reading = "key"
        elif expected not in ("value", "item"):
            raise _NoJson
        elif char == '"':
            self._begin("string")
            self._reading = "string"
        elif char in "{[":
            self._open(char, position)
        else:
            self._begin("literal")
            self._reading = "literal"
            return position
        return position + 1

    # Values

    def _begin(self, kind: str) -> None:
        self._told = len(self._stack) <= self.depth
        if self._told:
            self.opened(tuple(self._keys), kind)

    def _open(self, char: str, position: int) -> None:
        if len(self._stack) == MAX_DEPTH:
            raise _NoJson
        if len(self._stack) <= self.depth:
            path, kind = tuple(self._keys), "object" if char == "{" else "array"
            self.opened(path, kind)
            if self.wanted(path, kind):
                self._records.append((len(self._stack), []))
                self._starts.append(position)
        self._stack.append(char)
        self._keys.append("" if char == "{" else 0)
        self._expected = "member" if char == "{" else "item"

    def _close(self, char: str, text: str, position: int) -> None:
        allowed = ("member", "next") if char == "}" else ("item", "next")
        if not self._stack or _OTHER[self._stack[-1]] != char or self._expected not in allowed:
            raise _NoJson
        self._stack.pop()
        self._keys.pop()
        level = len(self._stack)
        value = None
        if self._records and self._records[-1][0] == level:
            _, parts = self._records.pop()
            parts.append(text[self._starts.pop() : position + 1])
            value = _value("".join(parts))
        self._ended("object" if char == "}" else "array", value)

    def _ended(self, kind: str, value: Any) -> None:
        if len(self._stack) <= self.depth:
            self.closed(tuple(self._keys), kind, value)
        self._expected = "next"
        self.done = not self._stack

    # Strings, keys and literals, which may be cut anywhere

    def _go_on(self, text: str, position: int) -> int:
        if self._reading == "literal":
            stop = _end(_LITERAL, text, position)
            self._text.append(text[position:stop])
            if stop < len(text):
                self._reading = ""
                self._ended("literal", _literal(self._taken()))
            return stop
        if self._escape:
            return self._go_on_escape(text, position)
        stop = _end(_PLAIN, text, position)
        if stop > position and (self._told or self._reading == "key"):
            self._text.append(text[position:stop])
        if stop == len(text):
            return stop
        if text[stop] == "\\":
            self._escape = "\\"
        else:
            self._string_ended()
        return stop + 1

    def _go_on_escape(self, text: str, position: int) -> int:
        if self._escape == "\\" and text[position] != "u":
            decoded = _ESCAPES.get(text[position])
            if decoded is None:
                raise _NoJson
            taken = 1
        else:
            taken = min(6 - len(self._escape), len(text) - position)
            self._escape += text[position : position + taken]
            if len(self._escape) < 6:
                return position + taken
            try:
                decoded = chr(int(self._escape[2:], 16))
            except ValueError:
                raise _NoJson from None
        self._escape = ""
        if self._told or self._reading == "key":
            self._text.append(decoded)
        return position + taken

    def _string_ended(self) -> None:
        reading, self._reading = self._reading, ""
        if reading == "key":
            self._keys[-1] = whole(self._taken())
            self._expected = "colon"
            return
        value = None
        if self._told:
            self._pass_on(last=True)
            value = self._value_of_string()
        self._ended("string", value)

    def _pass_on(self, *, last: bool = False) -> None:
        text = self._high + self._taken()
        self._high = ""
        if _SURROGATE.search(text):
            text = whole(text)
            if not last and "\ud800" <= text[-1] <= "\udbff":
                text, self._high = text[:-1], text[-1]
        if text:
            path = tuple(self._keys)
            if self.wanted(path, "string"):
                self._pieces.append(text)
            self.piece(path, text)

    def _value_of_string(self) -> str | None:
        path = tuple(self._keys)
        if not self.wanted(path, "string"):
            return None
        value = whole("".join(self._pieces))
        self._pieces.clear()
        return value

    def _taken(self) -> str:
        text = "".join(self._text)
        self._text.clear()
        return text


class _NoJson(Exception):
    """The text is no JSON."""


def whole(text: str) -> str:
    """The same text with the halves of surrogate pairs put together."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position


def _literal(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        raise _NoJson from None
    return value


def _no_constant(name: str) -> Any:
    raise _NoJson


def _value(text: str) -> Any:
    text = whole(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    # Half a surrogate pair, which orjson refuses and JavaScript takes.
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _NoJson from None
