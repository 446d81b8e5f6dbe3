"""The messages interface of Anthropic."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from copilotkit_django.testing.answers import Reasoning, Text, ToolCall, Usage
from copilotkit_django.testing.prompts import Prompt, PromptMessage, text_of
from copilotkit_django.testing.providers.base import JSON, Provider, Spoken, named

ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class AnthropicMessages(Provider):
    """``POST …/messages``."""

    name = "anthropic"

    @classmethod
    def read(cls, match: re.Match[str], body: JSON, headers: Mapping[str, str]) -> Prompt:
        choice = body.get("tool_choice") or {}
        known = {"any": "required", "tool": choice.get("name", "")}
        return Prompt(
            provider=cls.name,
            model=body.get("model", ""),
            body=body,
            headers=headers,
            stream=bool(body.get("stream")),
            system=text_of(body.get("system")),
            messages=[part for m in body.get("messages", []) for part in _messages(m)],
            tools=[
                {
                    "name": tool["name"],
                    "description": tool.get("description", ""),
                    "parameters": tool.get("input_schema", {}),
                }
                for tool in body.get("tools") or []
            ],
            tool_choice=known.get(choice.get("type", ""), choice.get("type", "")),
        )

    @classmethod
    def refusal(cls, status: int, message: str) -> JSON:
        kind = ERRORS.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}

    def begin(self) -> Iterator[bytes]:
        yield named({"type": "message_start", "message": self._message([], None, Usage(11, 0))})

    def open(self, part: Spoken) -> Iterator[bytes]:
        index = len(self.parts)
        self.parts.append(part)
        block = _block(part, empty=True)
        yield named({"type": "content_block_start", "index": index, "content_block": block})

    def piece(self, part: Spoken, text: str) -> Iterator[bytes]:
        match part:
            case Text():
                yield self._delta({"type": "text_delta", "text": text})
            case Reasoning():
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case ToolCall():
                yield self._delta({"type": "input_json_delta", "partial_json": text})

    def close(self, part: Spoken) -> Iterator[bytes]:
        if isinstance(part, Reasoning):
            yield self._delta({"type": "signature_delta", "signature": "c2lnbmVk"})
        yield named({"type": "content_block_stop", "index": len(self.parts) - 1})

    def end(self, usage: Usage) -> Iterator[bytes]:
        delta = {"stop_reason": _stop(self.parts), "stop_sequence": None}
        yield named({"type": "message_delta", "delta": delta, "usage": _usage(usage)})
        yield named({"type": "message_stop"})

    def failure(self, message: str) -> Iterator[bytes]:
        yield named(self.refusal(529, message))

    def whole(self, parts: list[Spoken], usage: Usage) -> JSON:
        return self._message(parts, _stop(parts), usage)

    def _message(self, parts: list[Spoken], stop: str | None, usage: Usage) -> JSON:
        return {
            "id": f"msg_{self.prompt.number}",
            "type": "message",
            "role": "assistant",
            "model": self.prompt.model,
            "content": [_block(part) for part in parts],
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": _usage(usage),
        }

    def _delta(self, delta: JSON) -> bytes:
        index = len(self.parts) - 1
        return named({"type": "content_block_delta", "index": index, "delta": delta})


def _usage(usage: Usage) -> JSON:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _stop(parts: list[Spoken]) -> str:
    return "tool_use" if any(isinstance(part, ToolCall) for part in parts) else "end_turn"


def _block(part: Spoken, *, empty: bool = False) -> JSON:
    match part:
        case Text():
            return {"type": "text", "text": "" if empty else part.text}
        case Reasoning():
            thinking, signature = ("", "") if empty else (part.text, "c2lnbmVk")
            return {"type": "thinking", "thinking": thinking, "signature": signature}
        case ToolCall():
            arguments = {} if empty else dict(part.arguments)
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}


def _messages(message: JSON) -> Iterator[PromptMessage]:
    """The results among the blocks of a user message are messages of their own elsewhere."""
    content = message["content"]
    blocks: list[JSON] = content
    if isinstance(content, str):
        blocks = [{"type": "text", "text": content}]
    for block in blocks:
        if block["type"] == "tool_result":
            result = text_of(block.get("content"))
            yield PromptMessage("tool", result, tool_call_id=block["tool_use_id"])
    text = text_of([block for block in blocks if block["type"] == "text"])
    calls = tuple(
        ToolCall(block["name"], block["input"], block["id"])
        for block in blocks
        if block["type"] == "tool_use"
    )
    if text or calls or not any(block["type"] == "tool_result" for block in blocks):
        yield PromptMessage(message["role"], text, calls)
