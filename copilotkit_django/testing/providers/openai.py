"""OpenAI chat completions, and what speaks like them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from copilotkit_django.testing.answers import Reasoning, Text, ToolCall, Usage
from copilotkit_django.testing.prompts import Prompt, PromptMessage, arguments_of, text_of
from copilotkit_django.testing.providers.base import JSON, Provider, Spoken, data, joined


class OpenAICompletions(Provider):
    """``POST …/chat/completions``."""

    name = "openai"

    @classmethod
    def read(cls, match: re.Match[str], body: JSON, headers: Mapping[str, str]) -> Prompt:
        messages = body.get("messages", [])
        systems = [m for m in messages if m["role"] in ("system", "developer")]
        return Prompt(
            provider=cls.name,
            model=body.get("model", ""),
            body=body,
            headers=headers,
            stream=bool(body.get("stream")),
            system="\n".join(text_of(m["content"]) for m in systems),
            messages=[_message(m) for m in messages if m not in systems],
            tools=[_tool(tool["function"]) for tool in body.get("tools") or []],
            tool_choice=choice_of(body.get("tool_choice")),
        )

    @classmethod
    def refusal(cls, status: int, message: str) -> JSON:
        return openai_error(status, message)

    def begin(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""})

    def open(self, part: Spoken) -> Iterator[bytes]:
        if isinstance(part, ToolCall):
            function = {"name": part.name, "arguments": part.json if part.whole else ""}
            call = {"index": self._index(), "id": part.id, "type": "function", "function": function}
            yield self._chunk({"tool_calls": [call]})
        self.parts.append(part)

    def piece(self, part: Spoken, text: str) -> Iterator[bytes]:
        match part:
            case Text():
                yield self._chunk({"content": text})
            case Reasoning():
                yield self._chunk({"reasoning_content": text})
            case ToolCall(whole=False):
                call = {"index": self._index() - 1, "function": {"arguments": text}}
                yield self._chunk({"tool_calls": [call]})

    def end(self, usage: Usage) -> Iterator[bytes]:
        yield self._chunk({}, self._finish(self.parts))
        if (self.prompt.body.get("stream_options") or {}).get("include_usage"):
            yield data({**self._head("chat.completion.chunk"), "choices": [], **_usage(usage)})
        yield b"data: [DONE]\n\n"

    def failure(self, message: str) -> Iterator[bytes]:
        yield data(openai_error(503, message))

    def whole(self, parts: list[Spoken], usage: Usage) -> JSON:
        message: JSON = {"role": "assistant", "content": joined(parts, Text) or None}
        if reasoning := joined(parts, Reasoning):
            message["reasoning_content"] = reasoning
        calls = [part for part in parts if isinstance(part, ToolCall)]
        if calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.json},
                }
                for call in calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": self._finish(parts)}
        return {**self._head("chat.completion"), "choices": [choice], **_usage(usage)}

    def _head(self, kind: str) -> JSON:
        return {
            "id": f"chatcmpl-{self.prompt.number}",
            "object": kind,
            "created": 1_700_000_000,
            "model": self.prompt.model,
        }

    def _chunk(self, delta: JSON, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return data({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _index(self) -> int:
        return sum(isinstance(part, ToolCall) for part in self.parts)

    def _finish(self, parts: list[Spoken]) -> str:
        return "tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "stop"


def openai_error(status: int, message: str) -> JSON:
    """The body of an error, as both interfaces of OpenAI send it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def choice_of(choice: Any) -> str:
    """The tool choice of both interfaces of OpenAI."""
    if not isinstance(choice, dict):
        return choice or ""
    return str(choice.get("function", choice).get("name", choice["type"]))


def _usage(usage: Usage) -> JSON:
    return {
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
    }


def _message(message: JSON) -> PromptMessage:
    calls = [
        ToolCall(
            call["function"]["name"], arguments_of(call["function"].get("arguments")), call["id"]
        )
        for call in message.get("tool_calls") or []
    ]
    return PromptMessage(
        role=message["role"],
        text=text_of(message.get("content")),
        tool_calls=tuple(calls),
        tool_call_id=message.get("tool_call_id", ""),
    )


def _tool(function: JSON) -> JSON:
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "parameters": function.get("parameters", {}),
    }
