"""The conversation as clients send it, as the model reads it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents.attachments import ANY_TYPE, Attachment, parts_of, text_of
from copilotkit_django.agents.builtin.sealing import unsealed
from copilotkit_django.events.wire import decode

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelRequestPart, ModelResponsePart, UserContent

logger = logging.getLogger("copilotkit.run")

Message = Mapping[str, Any]

#: What the model reads in place of the result of a call that never got one.
UNANSWERED = "The call was interrupted; there is no result."


def history(
    messages: Iterable[Message],
    *,
    instructions: str | None = None,
    system: bool = False,
    developer: bool = False,
    reasoning: bool = False,
    answers: Mapping[str, str] | None = None,
) -> list[ModelMessage]:
    """The messages of a run's input, for pydantic-ai, behind the project's ``instructions``.

    Every call is followed by its result, wherever that stands in the input: the client's, the one
    in ``answers`` (by call id), or a sentence saying that there is none. Results of calls that are
    not in the conversation are left out, and so are activities; system and developer messages are,
    unless ``system`` and ``developer`` say otherwise, and so is reasoning, of which ``reasoning``
    lets through what its provider wants back.
    """
    found = list(messages)
    reading = _Reading(results(found), answers or {})
    if instructions:
        reading.instruct(instructions)
    for place, message in enumerate(found):
        if message["role"] == "reasoning":
            if reasoning:
                reading.think(message)
        else:
            reading.take(place, message, system=system, developer=developer)
    return reading.history


def results(messages: Iterable[Message]) -> dict[str, list[tuple[int, Message]]]:
    """The tool messages by the id of the call they answer, each with its place."""
    found: dict[str, list[tuple[int, Message]]] = {}
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            found.setdefault(message["toolCallId"], []).append((place, message))
    return found


def result_of(
    found: Mapping[str, list[tuple[int, Message]]], call_id: str, place: int
) -> Message | None:
    """The first result after ``place``: providers number their calls anew in each answer."""
    return next((message for at, message in found.get(call_id, ()) if at > place), None)


class _Reading:
    """Builds the history message by message."""

    def __init__(
        self, found: dict[str, list[tuple[int, Message]]], answers: Mapping[str, str]
    ) -> None:
        self.history: list[ModelMessage] = []
        self._results = found
        self._answers = answers
        self._called: set[str] = set()

    def instruct(self, text: str) -> None:
        from pydantic_ai.messages import SystemPromptPart

        self._ask(SystemPromptPart(content=text))

    def think(self, message: Message) -> None:
        part = unsealed(message)
        if part is not None:
            self._say([part])

    def take(self, place: int, message: Message, *, system: bool, developer: bool) -> None:
        from pydantic_ai.messages import UserPromptPart

        role = message["role"]
        if role == "user":
            content = message["content"]
            parts = content if isinstance(content, str) else list(user_parts(content))
            if parts:
                self._ask(UserPromptPart(content=parts))
        elif role == "assistant":
            self._answer(place, message)
        elif role == "tool":
            if message["toolCallId"] not in self._called:
                logger.warning("A tool message without its call is left out of the conversation.")
        elif (role == "system" and system) or (role == "developer" and developer):
            self.instruct(message["content"])

    def _ask(self, part: ModelRequestPart) -> None:
        from pydantic_ai.messages import ModelRequest

        last = self.history[-1] if self.history else None
        if isinstance(last, ModelRequest):
            last.parts = [*last.parts, part]
        else:
            self.history.append(ModelRequest(parts=[part]))

    def _answer(self, place: int, message: Message) -> None:
        from pydantic_ai.messages import TextPart, ToolCallPart

        parts: list[ModelResponsePart] = []
        if message.get("content"):
            parts.append(TextPart(content=message["content"]))
        calls = message.get("toolCalls") or ()
        for call in calls:
            function = call["function"]
            arguments = function["arguments"].strip() or "{}"
            parts.append(ToolCallPart(function["name"], arguments, call["id"]))
        if not parts:
            return
        self._say(parts)
        for call in calls:
            self._called.add(call["id"])
            self._ask(self._result(place, call))

    def _say(self, parts: Sequence[ModelResponsePart]) -> None:
        from pydantic_ai.messages import ModelResponse

        last = self.history[-1] if self.history else None
        if isinstance(last, ModelResponse):
            last.parts = [*last.parts, *parts]
        else:
            self.history.append(ModelResponse(parts=list(parts)))

    def _result(self, place: int, call: Mapping[str, Any]) -> ModelRequestPart:
        from pydantic_ai.messages import ToolReturnPart

        call_id, name = call["id"], call["function"]["name"]
        message = result_of(self._results, call_id, place)
        if message is not None:
            content = as_content(text_of(message["content"]) or message.get("error") or "")
            outcome = "failed" if message.get("error") else "success"
            return ToolReturnPart(name, content, call_id, outcome=outcome)  # type: ignore[arg-type]
        if call_id in self._answers:
            return ToolReturnPart(name, as_content(self._answers[call_id]), call_id)
        return ToolReturnPart(name, UNANSWERED, call_id, outcome="interrupted")


def as_content(text: str) -> Any:
    """The result of a call as the model is given it: what is JSON as what it says.

    Gemini takes objects only, and a text that was written as JSON has quotation marks too many.
    """
    if text[:1] not in ("{", "[", '"'):
        return text
    try:
        return decode(text.encode())
    except ValueError:
        return text


def user_parts(content: str | Iterable[Mapping[str, Any]]) -> Iterator[UserContent]:
    """What a user message holds, for pydantic-ai."""
    for part in parts_of(content, uploads=True):
        yield part if isinstance(part, str) else _file(part)


def _file(found: Attachment) -> UserContent:
    from pydantic_ai.messages import (
        AudioUrl,
        BinaryContent,
        DocumentUrl,
        ImageUrl,
        UploadedFile,
        VideoUrl,
    )

    kind = _bare(found.media_type)
    if found.data is not None:
        return BinaryContent(found.data, media_type=kind)
    if found.file_id:
        # A name it takes for that of one of its providers; another is refused by the model.
        provider: Any = found.provider
        return UploadedFile(file_id=found.file_id, provider_name=provider, media_type=kind)
    if found.family == "image":
        # Most addresses of images say what they are.
        return ImageUrl(found.url, media_type=None if kind == ANY_TYPE else kind)
    if found.family == "audio":
        return AudioUrl(found.url, media_type=kind)
    if found.family == "video":
        return VideoUrl(found.url, media_type=kind)
    return DocumentUrl(found.url, media_type=kind)


def _bare(kind: str) -> str:
    """A media type without its parameters, which providers compare byte by byte."""
    return kind.partition(";")[0].strip().lower()
