"""AG-UI events for what an agent says and calls, paced like somebody typing."""

from __future__ import annotations

import asyncio
import json
import random
import re
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

Event = dict[str, Any]

#: Seconds between two words.
PACE = (0.015, 0.03)

SUGGEST = "copilotkitSuggest"


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4()}"


async def words(text: str, *, pace: tuple[float, float] = PACE) -> AsyncIterator[str]:
    """The text in pieces of one word with the space before it, each after a short pause."""
    for piece in re.findall(r"\s*\S+|\s+$", text):
        yield piece
        await asyncio.sleep(random.uniform(*pace))  # noqa: S311


async def say(text: str, *, pace: tuple[float, float] = PACE) -> AsyncIterator[Event]:
    """One assistant message."""
    message = new_id("msg")
    yield {"type": "TEXT_MESSAGE_START", "messageId": message, "role": "assistant"}
    async for piece in words(text, pace=pace):
        yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": message, "delta": piece}
    yield {"type": "TEXT_MESSAGE_END", "messageId": message}


async def think(text: str) -> AsyncIterator[Event]:
    """A stretch of reasoning, which the chat folds away."""
    message = new_id("think")
    yield {"type": "REASONING_START", "messageId": message}
    yield {"type": "REASONING_MESSAGE_START", "messageId": message, "role": "reasoning"}
    async for piece in words(text):
        yield {"type": "REASONING_MESSAGE_CONTENT", "messageId": message, "delta": piece}
    yield {"type": "REASONING_MESSAGE_END", "messageId": message}
    yield {"type": "REASONING_END", "messageId": message}


async def call(tool: str, arguments: Mapping[str, Any], *, pieces: int = 4) -> AsyncIterator[Event]:
    """A call of a frontend tool. The page runs it once this run is over and reports back."""
    call_id = new_id("call")
    text = json.dumps(arguments)
    size = -(-len(text) // pieces)
    yield {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": tool}
    for start in range(0, len(text), size):
        yield {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": text[start : start + size]}
        await asyncio.sleep(PACE[0])
    yield {"type": "TOOL_CALL_END", "toolCallId": call_id}


def is_suggestion_run(forwarded_props: Any) -> bool:
    """Whether the client asks for suggestions instead of an answer."""
    choice = forwarded_props.get("toolChoice") if isinstance(forwarded_props, Mapping) else None
    function = choice.get("function") if isinstance(choice, Mapping) else None
    return isinstance(function, Mapping) and function.get("name") == SUGGEST


def suggest(suggestions: Iterable[tuple[str, str]]) -> AsyncIterator[Event]:
    """The answer to a suggestion run: (title, message) pairs."""
    rows = [{"title": title, "message": message} for title, message in suggestions]
    return call(SUGGEST, {"suggestions": rows}, pieces=12)


def user_texts(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the person wrote so far, oldest first."""
    texts = []
    for message in messages:
        if message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, list):
            content = " ".join(
                part.get("text", "") for part in content if part.get("type") == "text"
            )
        texts.append(content or "")
    return texts
