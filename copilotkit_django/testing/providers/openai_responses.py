"""The responses interface of OpenAI."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from copilotkit_django.testing.answers import Reasoning, Text, ToolCall, Usage
from copilotkit_django.testing.prompts import Prompt, PromptMessage, arguments_of, text_of
from copilotkit_django.testing.providers.base import JSON, Provider, Spoken, named
from copilotkit_django.testing.providers.openai import choice_of, openai_error


class OpenAIResponses(Provider):
    """``POST …/responses``."""

    name = "openai-responses"

    def __init__(self, prompt: Prompt) -> None:
        super().__init__(prompt)
        self._sequence = 0

    @classmethod
    def read(cls, match: re.Match[str], body: JSON, headers: Mapping[str, str]) -> Prompt:
        items = body.get("input", [])
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        systems = [body.get("instructions") or ""]
        messages = []
        for item in items:
            if item.get("role") in ("system", "developer"):
                systems.append(text_of(item["content"]))
            elif (message := _message(item)) is not None:
                messages.append(message)
        return Prompt(
            provider=cls.name,
            model=body.get("model", ""),
            body=body,
            headers=headers,
            stream=bool(body.get("stream")),
            system="\n".join(filter(None, systems)),
            messages=_grouped(messages),
            tools=[
                {
                    "name": tool["name"],
                    "description": tool.get("description") or "",
                    "parameters": tool.get("parameters") or {},
                }
                for tool in body.get("tools") or []
                if tool["type"] == "function"
            ],
            tool_choice=choice_of(body.get("tool_choice")),
        )

    @classmethod
    def refusal(cls, status: int, message: str) -> JSON:
        return openai_error(status, message)

    def begin(self) -> Iterator[bytes]:
        for kind in ("response.created", "response.in_progress"):
            yield self._event(kind, response=self._response([], "in_progress"))

    def open(self, part: Spoken) -> Iterator[bytes]:
        index = len(self.parts)
        self.parts.append(part)
        yield self._event("response.output_item.added", output_index=index, item=self._item(index))
        match part:
            case Text():
                yield self._content("response.content_part.added", part=_text(""))
            case Reasoning():
                yield self._summary("response.reasoning_summary_part.added", part=_summary(""))

    def piece(self, part: Spoken, text: str) -> Iterator[bytes]:
        match part:
            case Text():
                yield self._content("response.output_text.delta", delta=text, logprobs=[])
            case Reasoning():
                yield self._summary("response.reasoning_summary_text.delta", delta=text)
            case ToolCall():
                yield self._part("response.function_call_arguments.delta", delta=text)

    def close(self, part: Spoken) -> Iterator[bytes]:
        match part:
            case Text():
                yield self._content("response.output_text.done", text=part.text, logprobs=[])
                yield self._content("response.content_part.done", part=_text(part.text))
            case Reasoning():
                yield self._summary("response.reasoning_summary_text.done", text=part.text)
                yield self._summary(
                    "response.reasoning_summary_part.done", part=_summary(part.text)
                )
            case ToolCall():
                yield self._part(
                    "response.function_call_arguments.done", name=part.name, arguments=part.json
                )
        index = len(self.parts) - 1
        item = self._item(index, done=True)
        yield self._event("response.output_item.done", output_index=index, item=item)

    def end(self, usage: Usage) -> Iterator[bytes]:
        response = self._response(self.parts, "completed", usage)
        yield self._event("response.completed", response=response)

    def failure(self, message: str) -> Iterator[bytes]:
        response = self._response(self.parts, "failed")
        response["error"] = {"code": "server_error", "message": message}
        yield self._event("response.failed", response=response)

    def whole(self, parts: list[Spoken], usage: Usage) -> JSON:
        self.parts = parts
        return self._response(parts, "completed", usage)

    def _response(self, parts: list[Spoken], status: str, usage: Usage | None = None) -> JSON:
        return {
            "id": f"resp_{self.prompt.number}",
            "object": "response",
            "created_at": 1_700_000_000,
            "model": self.prompt.model,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "output": [self._item(index, done=True) for index in range(len(parts))],
            "parallel_tool_calls": True,
            "tool_choice": self.prompt.body.get("tool_choice") or "auto",
            "tools": self.prompt.body.get("tools") or [],
            "usage": usage
            and {
                "input_tokens": usage.input_tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": usage.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage.input_tokens + usage.output_tokens,
            },
        }

    def _item(self, index: int, *, done: bool = False) -> JSON:
        part = self.parts[index]
        status = "completed" if done else "in_progress"
        match part:
            case Text():
                content = [_text(part.text)] if done else []
                kind = {"type": "message", "role": "assistant", "content": content}
            case Reasoning():
                kind = {"type": "reasoning", "summary": [_summary(part.text)] if done else []}
            case ToolCall():
                arguments = part.json if done else ""
                kind = {
                    "type": "function_call",
                    "call_id": part.id,
                    "name": part.name,
                    "arguments": arguments,
                }
        return {"id": self._id(index), "status": status, **kind}

    def _id(self, index: int) -> str:
        return f"item_{self.prompt.number}_{index}"

    def _event(self, kind: str, **payload: object) -> bytes:
        event = named({"type": kind, "sequence_number": self._sequence, **payload})
        self._sequence += 1
        return event

    def _part(self, kind: str, **payload: object) -> bytes:
        index = len(self.parts) - 1
        return self._event(kind, item_id=self._id(index), output_index=index, **payload)

    def _content(self, kind: str, **payload: object) -> bytes:
        return self._part(kind, content_index=0, **payload)

    def _summary(self, kind: str, **payload: object) -> bytes:
        return self._part(kind, summary_index=0, **payload)


def _text(text: str) -> JSON:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary(text: str) -> JSON:
    return {"type": "summary_text", "text": text}


def _message(item: JSON) -> PromptMessage | None:
    match item.get("type", "message"):
        case "message":
            return PromptMessage(item["role"], text_of(item["content"]))
        case "function_call":
            call = ToolCall(item["name"], arguments_of(item["arguments"]), item["call_id"])
            return PromptMessage("assistant", tool_calls=(call,))
        case "function_call_output":
            return PromptMessage("tool", text_of(item["output"]), tool_call_id=item["call_id"])
    return None


def _grouped(messages: list[PromptMessage]) -> list[PromptMessage]:
    """The items of one turn of the model as the one message they were."""
    grouped: list[PromptMessage] = []
    for message in messages:
        last = grouped[-1] if grouped else None
        if message.tool_calls and last is not None and last.role == "assistant":
            calls = (*last.tool_calls, *message.tool_calls)
            grouped[-1] = PromptMessage("assistant", last.text, calls)
        else:
            grouped.append(message)
    return grouped
