"""Open Generative UI: pages a model writes, shown in a sandbox while they are being written."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

from copilotkit_django.agents.base import RunContext
from copilotkit_django.agents.middleware.base import AgentMiddleware, Next
from copilotkit_django.agents.middleware.streamed_json import JsonStream, Path

#: The tool of the page whose arguments are such a page.
TOOL = "generateSandboxedUi"

ACTIVITY = "open-generative-ui"

Event = dict[str, Any]


class OpenGenerativeUI(AgentMiddleware):
    """Turns the arguments of the page's tool ``generateSandboxedUi`` into what the page shows.

    The activity appears before the call and grows with its arguments, by one patch for each piece
    of them. The page answers the call.
    """

    on_suggestions = False

    async def run(self, context: RunContext, next: Next) -> AsyncIterator[Event]:
        pages: dict[str, SandboxedPage] = {}
        try:
            async for event in next(context):
                kind = event["type"]
                if kind == "TOOL_CALL_START" and event["toolCallName"] == TOOL:
                    pages[event["toolCallId"]] = SandboxedPage(event)
                elif kind == "TOOL_CALL_ARGS" and event["toolCallId"] in pages:
                    for out in pages[event["toolCallId"]].more(event):
                        yield out
                elif kind == "TOOL_CALL_END" and event["toolCallId"] in pages:
                    for out in pages.pop(event["toolCallId"]).end(event):
                        yield out
                elif kind == "RUN_ERROR":
                    # Nothing may come after it.
                    for page in pages.values():
                        for out in page.end():
                            yield out
                    pages.clear()
                    yield event
                else:
                    yield event
        except (asyncio.CancelledError, Exception):
            # Nothing more is going to come: a page that is not finished must not look as if.
            for page in pages.values():
                for out in page.end():
                    yield out
            raise
        for page in pages.values():
            for out in page.end():
                yield out


class SandboxedPage(JsonStream):
    """One page, as far as it is written.

    The events of its call are held back until there is something to show.
    """

    depth = 2

    def __init__(self, start: Event) -> None:
        super().__init__()
        self._message_id = f"{start['toolCallId']}-activity"
        self._held: list[Event] = [start]
        self._is_shown = False
        self._has_html = False
        self._out: list[Event] = []

    def more(self, event: Event) -> list[Event]:
        """What to send for an event with more of the arguments."""
        if self._held:
            self._held.append(event)
        else:
            self._out.append(event)
        self.feed(event["delta"])
        return self._taken_out()

    def end(self, *events: Event) -> list[Event]:
        """What to send at the end of the call, before these events."""
        if self._is_shown:
            self._add("/generating", False)
        self._out += [*self._held, *events]
        self._held = []
        return self._taken_out()

    def _taken_out(self) -> list[Event]:
        out, self._out = self._out, []
        return out

    # What the arguments say

    def wanted(self, path: Path, kind: str) -> bool:
        return kind == "string" and path != ("html",)

    def opened(self, path: Path, kind: str) -> None:
        if kind == "array" and path in (("jsExpressions",), ("placeholderMessages",)):
            self._add(f"/{path[0]}", [])
        elif path == ("html",):
            self._has_html = False

    def piece(self, path: Path, text: str) -> None:
        if path == ("html",):
            if not self._has_html:
                self._has_html = True
                self._add("/html", [])
            self._add("/html/-", text)

    def closed(self, path: Path, kind: str, value: Any) -> None:
        match path:
            case ("initialHeight",):
                self._set_height(value if _is_number(value) else None)
            case ("html",):
                self._add("/htmlComplete", True)
            case ("css" | "jsFunctions" as key,):
                if isinstance(value, str):
                    self._add(f"/{key}", value)
                self._add(f"/{key}Complete", True)
            case ("jsExpressions" | "placeholderMessages" as key, int()) if isinstance(value, str):
                self._add(f"/{key}/-", value)
            case ("jsExpressions",) if kind == "array":
                self._add("/jsExpressionsComplete", True)

    def _set_height(self, height: float | None) -> None:
        if self._is_shown and height is not None:
            self._add("/initialHeight", height)
        elif not self._is_shown:
            self._show({} if height is None else {"initialHeight": height})

    def _show(self, content: dict[str, Any]) -> None:
        self._is_shown = True
        event = {
            "type": "ACTIVITY_SNAPSHOT",
            "messageId": self._message_id,
            "activityType": ACTIVITY,
            "content": {**content, "generating": True},
        }
        # The page is above its call.
        self._out[:0] = [event, *self._held]
        self._held = []

    def _add(self, path: str, value: Any) -> None:
        if not self._is_shown:
            self._show({})
        self._out.append(
            {
                "type": "ACTIVITY_DELTA",
                "messageId": self._message_id,
                "activityType": ACTIVITY,
                "patch": [{"op": "add", "path": path, "value": value}],
            }
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
