"""What comes of a tool call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from copilotkit_django.events.wire import decode


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a model is told of a call: a text (JSON unless the tool returned a text), and whether
    it failed."""

    content: str
    error: bool = False

    def event(self, tool_call_id: str) -> dict[str, Any]:
        """As the page is told of it: JSON, which pages parse; a failure is ``{"error": …}``."""
        content = self.content
        if self.error:
            content = json.dumps({"error": content}, ensure_ascii=False)
        elif not _is_json(content):
            content = json.dumps(content, ensure_ascii=False)
        return {
            "type": "TOOL_CALL_RESULT",
            "messageId": str(uuid4()),
            "toolCallId": tool_call_id,
            "content": content,
            "role": "tool",
        }


def _is_json(text: str) -> bool:
    try:
        decode(text.encode())
    except ValueError:
        return False
    return True
