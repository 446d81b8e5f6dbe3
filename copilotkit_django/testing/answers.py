"""What a model that is not one can be told to answer."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from copilotkit_django.testing.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Text:
    """Text, streamed word by word."""

    text: str

    def pieces(self) -> list[str]:
        return words(self.text)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thinks, streamed word by word."""

    text: str

    def pieces(self) -> list[str]:
        return words(self.text)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool.

    The arguments are streamed in pieces; with ``whole`` name, id and arguments come in one chunk,
    as some providers send them (Gemini always does). Without an ``id`` the server makes one.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    whole: bool = False

    @property
    def json(self) -> str:
        return json.dumps(self.arguments)

    def pieces(self) -> list[str]:
        return [self.json] if self.whole else re.findall(r"(?s).{1,8}", self.json)


@dataclass(frozen=True, slots=True)
class Wait:
    """Say nothing more until ``gate`` is set. Who waits for more than ``timeout`` s is dropped."""

    gate: threading.Event
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Fail:
    """Break down in the middle, in the way of the provider: an error where a chunk should be."""

    message: str = "The model is overloaded."


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection without another word; as the first part, without any."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an error status. The clients' own retries come only with ``retry``."""

    status: int = 400
    message: str = "The model refuses."
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens an answer is said to have cost."""

    input_tokens: int = 11
    output_tokens: int = 7


Part: TypeAlias = Text | Reasoning | ToolCall | Wait | Fail | Drop


@dataclass(frozen=True, slots=True)
class Answer:
    """Parts in the order they are said, with what goes for all of them.

    ``delay`` is the pause before each piece, in seconds; ``None`` is the server's own.
    """

    parts: Sequence[Part]
    usage: Usage = Usage()
    delay: float | None = None


#: What a script may answer. A string is text.
Scripted: TypeAlias = str | Part | Sequence[Part] | Answer | Refuse


def words(text: str) -> list[str]:
    """A text in pieces of one word each, with the white space that follows it."""
    return re.findall(r"^\s+|\S+\s*", text)


def as_answer(scripted: Scripted) -> Answer | Refuse:
    """Any form of an answer in its long form."""
    match scripted:
        case Answer() | Refuse():
            return scripted
        case str():
            return Answer([Text(scripted)])
        case Text() | Reasoning() | ToolCall() | Wait() | Fail() | Drop():
            return Answer([scripted])
    return Answer(list(scripted))


def by_last_message(prompt: Prompt) -> Scripted:
    """The script of a server that was given none: the last message says what to do.

    Of a user: ``call NAME {"a": 1}`` calls a tool, several such lines call several; ``think TEXT``
    reasons before it says the text; ``refuse STATUS``, ``fail TEXT`` (says the text, then breaks
    down) and ``drop TEXT`` (says it, then closes the connection) go wrong; ``slow TEXT`` takes
    50 ms for each word. To anything else it says ``You said: …``. To the results of tools it says
    ``The tool said: …``, one after the other, separated by commas.
    """
    if prompt.tool_results:
        return "The tool said: " + ", ".join(result.text for result in prompt.tool_results)
    said = prompt.last_user_text
    calls = [line.removeprefix("call ") for line in said.splitlines() if line.startswith("call ")]
    if calls:
        split = [call.partition(" ") for call in calls]
        return [ToolCall(name, json.loads(rest or "{}")) for name, _, rest in split]
    order, _, rest = said.partition(" ")
    match order:
        case "think":
            return [Reasoning(f"They say: {rest}"), Text(rest)]
        case "refuse":
            return Refuse(int(rest or "400"))
        case "fail":
            return [*([Text(rest)] if rest else []), Fail()]
        case "drop":
            return [*([Text(rest)] if rest else []), Drop()]
        case "slow":
            return Answer([Text(rest)], delay=0.05)
    return f"You said: {said}"
