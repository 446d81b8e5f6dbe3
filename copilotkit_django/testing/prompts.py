"""What a model was asked, whichever provider's way of asking it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from copilotkit_django.testing.answers import ToolCall


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One message a model was sent: ``user``, ``assistant`` or ``tool``.

    Of a tool message ``text`` is the result and ``tool_call_id`` what it answers (with Gemini, the
    name of the tool if its client sent no id).
    """

    role: str
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(eq=False, slots=True)
class Prompt:
    """One request to a model, parsed.

    ``provider`` is ``openai``, ``openai-responses``, ``anthropic`` or ``google``; ``system`` the
    text of all system messages and instructions; ``tools`` the tools it may call, as ``name``,
    ``description`` and ``parameters`` (a JSON schema); ``tool_choice`` is ``auto``, ``none``,
    ``required``, the name of the tool it must call, or ``""`` if nothing was said; ``body`` the
    request as it came.
    """

    provider: str
    model: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    stream: bool
    system: str = ""
    messages: list[PromptMessage] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: str = ""
    #: Which request of its server this is, from 1.
    number: int = 0
    #: How many chunks were sent so far.
    sent: int = 0
    #: The client went away before it had the whole answer.
    disconnected: bool = False
    _over: threading.Event = field(default_factory=threading.Event)

    def wait(self, timeout: float = 10.0) -> bool:
        """Wait until nothing more is said: all of it was sent, or the client is gone.

        False if that takes longer than ``timeout`` seconds. Blocks; from a coroutine, call it with
        ``asyncio.to_thread``.
        """
        return self._over.wait(timeout)

    @property
    def last_user_text(self) -> str:
        """The text of the newest user message."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")

    @property
    def tool_results(self) -> list[PromptMessage]:
        """The tool messages at the end: what the model is asked to go on from."""
        results: list[PromptMessage] = []
        for message in reversed(self.messages):
            if message.role != "tool":
                break
            results.insert(0, message)
        return results

    @property
    def tool_names(self) -> list[str]:
        return [tool["name"] for tool in self.tools]


def text_of(content: Any) -> str:
    """The text of what providers take as content: a string, or parts of which some have text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(text_of(part) for part in content)
    if isinstance(content, dict) and isinstance(content.get("text"), str):
        return str(content["text"])
    return "" if isinstance(content, dict) and "type" in content else json.dumps(content)


def arguments_of(text: Any) -> dict[str, Any]:
    """The arguments of a call in a history; what is no JSON object is none."""
    if isinstance(text, dict):
        return text
    try:
        parsed = json.loads(text or "{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
