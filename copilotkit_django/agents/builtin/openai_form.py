"""The conversation and the page's tools in the form of Chat Completions, which many take."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from copilotkit_django.agents.attachments import Attachment, parts_of, text_of
from copilotkit_django.agents.builtin.messages import UNANSWERED, result_of, results

Message = Mapping[str, Any]


def chat_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """What user and assistant said, each call followed by its result.

    Of attachments images only: there is no one form for others. System and developer messages are
    the client's, and left out.
    """
    found = list(messages)
    answers = results(found)
    said: list[dict[str, Any]] = []
    for place, message in enumerate(found):
        if message["role"] == "user":
            said.append({"role": "user", "content": _content(message["content"])})
        elif message["role"] == "assistant":
            calls = message.get("toolCalls") or ()
            told: dict[str, Any] = {"role": "assistant", "content": message.get("content") or ""}
            if calls:
                told["tool_calls"] = [
                    {key: call[key] for key in ("id", "type", "function")} for call in calls
                ]
            said.append(told)
            for call in calls:
                result = result_of(answers, call["id"], place)
                text = UNANSWERED if result is None else text_of(result["content"])
                said.append({"role": "tool", "tool_call_id": call["id"], "content": text})
    return said


def chat_tools(tools: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tools of the page."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool["description"],
                "parameters": {
                    "type": "object",
                    "properties": {},
                    **(tool.get("parameters") or {}),
                },
            },
        }
        for tool in tools
    ]


def _content(content: Any) -> Any:
    parts = [part for part in map(_part, parts_of(content)) if part is not None]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: str | Attachment) -> dict[str, Any] | None:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if part.family != "image":
        return None
    url = part.url
    if part.data is not None:
        url = f"data:{part.media_type};base64,{base64.b64encode(part.data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}
