"""What other clients of models stream, as AG-UI events: OpenAI's, and LangChain's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from copilotkit_django.agents.builtin.speech import Event, Speech


class ForeignStream:
    """Translates the chunks of one answer, known by what they look like.

    Chat completion chunks and response events of ``openai``, message chunks of LangChain; no
    package of theirs is imported. ``usage`` is filled in from what the chunks report.
    """

    def __init__(self) -> None:
        self.usage: dict[str, Any] | None = None
        self._speech = Speech()

    def takes(self, item: Any) -> bool:
        """Whether it is a chunk of one of the known streams."""
        return (
            hasattr(item, "choices")
            or hasattr(item, "tool_call_chunks")
            or (not isinstance(item, Mapping) and _is_response_event(item))
        )

    def feed(self, item: Any) -> Iterator[Event]:
        """The events to send for a chunk. Raises `RuntimeError` for one that is an error."""
        if hasattr(item, "choices"):
            yield from self._completion(item)
        elif hasattr(item, "tool_call_chunks"):
            yield from self._message(item)
        else:
            yield from self._response(item)

    def finish(self) -> Iterator[Event]:
        """The answer is over."""
        yield from self._speech.finish()

    def _completion(self, chunk: Any) -> Iterator[Event]:
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self._count(chunk, usage.prompt_tokens, usage.completion_tokens)
        for choice in chunk.choices[:1]:
            delta = choice.delta
            thought = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
            yield from self._speech.think(thought if isinstance(thought, str) else None)
            yield from self._speech.say(delta.content)
            for call in delta.tool_calls or ():
                function = call.function
                name, text = getattr(function, "name", None), getattr(function, "arguments", None)
                yield from self._call(call.index, call.id, name, text)

    def _message(self, chunk: Any) -> Iterator[Event]:
        counts = getattr(chunk, "usage_metadata", None)
        if counts:
            # Each chunk of LangChain says what it adds; the others say what it is all together.
            before = self.usage or {"inputTokens": 0, "outputTokens": 0}
            self._count(
                chunk,
                before["inputTokens"] + counts["input_tokens"],
                before["outputTokens"] + counts["output_tokens"],
            )
        more = getattr(chunk, "additional_kwargs", None) or {}
        yield from self._speech.think(more.get("reasoning_content"))
        content = chunk.content
        blocks: Iterable[Any] = [content] if isinstance(content, str) else content or ()
        for block in blocks:
            if isinstance(block, str):
                yield from self._speech.say(block)
            elif block.get("type") == "text":
                yield from self._speech.say(block.get("text"))
            elif block.get("type") in ("thinking", "reasoning"):
                yield from self._speech.think(block.get("thinking") or block.get("reasoning"))
        for call in chunk.tool_call_chunks or ():
            key = call.get("index")
            yield from self._call(
                call.get("id") if key is None else key, call.get("id"), call["name"], call["args"]
            )

    def _call(
        self, key: Any, call_id: str | None, name: str | None, text: str | None
    ) -> Iterator[Event]:
        known = self._speech.open_call(key)
        if known is not None and name and call_id and call_id != known:
            # Some who imitate OpenAI give all calls of an answer the same number.
            yield from self._speech.end_call(key)
            known = None
        if known is None:
            if not name:
                return
            yield from self._speech.begin_call(key, call_id or f"call_{uuid4().hex}", name)
        yield from self._speech.argue(key, text)

    def _response(self, event: Any) -> Iterator[Event]:
        kind, speech = event.type.removeprefix("response."), self._speech
        if kind == "output_text.delta":
            yield from speech.say(event.delta)
        elif kind in ("reasoning_text.delta", "reasoning_summary_text.delta"):
            yield from speech.think(event.delta)
        elif kind == "output_item.added" and event.item.type == "message":
            yield from speech.begin_text()
        elif kind == "output_item.added" and event.item.type == "function_call":
            yield from speech.begin_call(event.output_index, event.item.call_id, event.item.name)
        elif kind == "function_call_arguments.delta":
            yield from speech.argue(event.output_index, event.delta)
        elif kind == "output_item.done" and event.item.type == "function_call":
            yield from speech.end_call(event.output_index, event.item.arguments)
        elif kind in ("completed", "incomplete") and event.response.usage is not None:
            usage = event.response.usage
            self._count(event.response, usage.input_tokens, usage.output_tokens)
        elif kind in ("failed", "error"):
            error = getattr(getattr(event, "response", None), "error", None)
            raise RuntimeError(getattr(error or event, "message", "") or "The model failed.")

    def _count(self, source: Any, read: int, written: int) -> None:
        self.usage = {"inputTokens": read, "outputTokens": written, "totalTokens": read + written}
        model = getattr(source, "model", None)
        if isinstance(model, str):
            self.usage["model"] = model


def _is_response_event(item: Any) -> bool:
    kind = getattr(item, "type", None)
    return isinstance(kind, str) and (kind.startswith("response.") or kind == "error")
