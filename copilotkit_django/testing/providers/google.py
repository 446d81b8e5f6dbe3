"""``generateContent`` of Gemini."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from copilotkit_django.testing.answers import Reasoning, Text, ToolCall, Usage
from copilotkit_django.testing.prompts import Prompt, PromptMessage, text_of
from copilotkit_django.testing.providers.base import JSON, Provider, Spoken, data

ERRORS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}

MODES = {"ANY": "required", "NONE": "none", "AUTO": "auto"}


class GeminiContent(Provider):
    """``POST …/models/NAME:streamGenerateContent`` and ``:generateContent``."""

    name = "google"

    @classmethod
    def read(cls, match: re.Match[str], body: JSON, headers: Mapping[str, str]) -> Prompt:
        config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
        only = config.get("allowedFunctionNames") or []
        mode = MODES.get(config.get("mode", ""), "")
        declared = [
            function
            for tool in body.get("tools") or []
            for function in tool.get("functionDeclarations") or []
        ]
        return Prompt(
            provider=cls.name,
            model=match["model"],
            body=body,
            headers=headers,
            stream=match["verb"] == "streamGenerateContent",
            system=text_of((body.get("systemInstruction") or {}).get("parts")),
            messages=[part for c in body.get("contents", []) for part in _messages(c)],
            tools=[
                {
                    "name": function["name"],
                    "description": function.get("description", ""),
                    "parameters": _schema(function),
                }
                for function in declared
            ],
            tool_choice=only[0] if mode == "required" and len(only) == 1 else mode,
        )

    @classmethod
    def refusal(cls, status: int, message: str) -> JSON:
        return {
            "error": {"code": status, "message": message, "status": ERRORS.get(status, "INTERNAL")}
        }

    def open(self, part: Spoken) -> Iterator[bytes]:
        self.parts.append(part)
        if isinstance(part, ToolCall):
            yield data(self._content([_part(part)]))

    def piece(self, part: Spoken, text: str) -> Iterator[bytes]:
        match part:
            case Text():
                yield data(self._content([_part(Text(text))]))
            case Reasoning():
                yield data(self._content([_part(Reasoning(text))]))

    def end(self, usage: Usage) -> Iterator[bytes]:
        yield data(self._content([_part(Text(""))], "STOP", usage))

    def failure(self, message: str) -> Iterator[bytes]:
        yield data(self.refusal(503, message))

    def whole(self, parts: list[Spoken], usage: Usage) -> JSON:
        return self._content([_part(part) for part in parts], "STOP", usage)

    def _content(self, parts: list[JSON], finish: str = "", usage: Usage | None = None) -> JSON:
        candidate: JSON = {"index": 0, "content": {"role": "model", "parts": parts}}
        if finish:
            candidate["finishReason"] = finish
        content: JSON = {
            "candidates": [candidate],
            "modelVersion": self.prompt.model,
            "responseId": f"gemini-{self.prompt.number}",
        }
        if usage is not None:
            content["usageMetadata"] = {
                "promptTokenCount": usage.input_tokens,
                "candidatesTokenCount": usage.output_tokens,
                "totalTokenCount": usage.input_tokens + usage.output_tokens,
            }
        return content


def _part(part: Spoken) -> JSON:
    match part:
        case Text():
            return {"text": part.text}
        case Reasoning():
            return {"text": part.text, "thought": True}
        case ToolCall():
            call = {"id": part.id, "name": part.name, "args": dict(part.arguments)}
            return {"functionCall": call}


def _schema(function: JSON) -> JSON:
    # The official client does not put this one field into camelCase.
    known = ("parametersJsonSchema", "parameters_json_schema", "parameters")
    return next((function[key] for key in known if function.get(key)), {})


def _messages(content: JSON) -> Iterator[PromptMessage]:
    """The results among the parts of a content are messages of their own elsewhere."""
    parts = content.get("parts") or []
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    for result in results:
        response = result.get("response") or {}
        said = response.get("result", response.get("output", response))
        yield PromptMessage("tool", text_of(said), tool_call_id=result.get("id") or result["name"])
    text = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    calls = tuple(
        ToolCall(call["name"], call.get("args") or {}, call.get("id") or "")
        for call in (part["functionCall"] for part in parts if "functionCall" in part)
    )
    if text or calls or not results:
        role = "assistant" if content.get("role") == "model" else "user"
        yield PromptMessage(role, text, calls)
