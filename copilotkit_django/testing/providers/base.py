"""What a wire format has to say."""

from __future__ import annotations

import abc
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

from copilotkit_django.testing.answers import Reasoning, Text, ToolCall, Usage
from copilotkit_django.testing.prompts import Prompt

#: What has pieces of its own on the wire.
Spoken: TypeAlias = Text | Reasoning | ToolCall

JSON: TypeAlias = dict[str, Any]


class Provider(abc.ABC):
    """One answer in the format of one provider, streamed or whole.

    Streamed, each method returns the frames to send: `begin`, then `open`, `piece` and `close` for
    each part, then `end`; or `failure` anywhere. Whole, `whole` has the body.
    """

    name: ClassVar[str]
    content_type: ClassVar[str] = "text/event-stream; charset=utf-8"

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        #: The parts said so far.
        self.parts: list[Spoken] = []

    @classmethod
    @abc.abstractmethod
    def read(cls, match: re.Match[str], body: JSON, headers: Mapping[str, str]) -> Prompt:
        """The request, parsed."""

    @classmethod
    @abc.abstractmethod
    def refusal(cls, status: int, message: str) -> JSON:
        """The body of an answer with an error status."""

    def begin(self) -> Iterable[bytes]:
        return ()

    @abc.abstractmethod
    def open(self, part: Spoken) -> Iterable[bytes]: ...

    @abc.abstractmethod
    def piece(self, part: Spoken, text: str) -> Iterable[bytes]: ...

    def close(self, part: Spoken) -> Iterable[bytes]:
        return ()

    @abc.abstractmethod
    def end(self, usage: Usage) -> Iterable[bytes]: ...

    @abc.abstractmethod
    def failure(self, message: str) -> Iterable[bytes]: ...

    @abc.abstractmethod
    def whole(self, parts: list[Spoken], usage: Usage) -> JSON: ...


def data(payload: JSON) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def named(payload: JSON) -> bytes:
    """A server-sent event named like its type."""
    return f"event: {payload['type']}\n".encode() + data(payload)


def joined(parts: Iterable[Spoken], kind: type[Text] | type[Reasoning]) -> str:
    """The text of all parts of one kind."""
    return "".join(part.text for part in parts if isinstance(part, kind))
