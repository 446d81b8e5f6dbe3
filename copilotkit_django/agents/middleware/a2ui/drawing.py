"""The surfaces of one run: what pages are shown for each event of it.

Needs the ``a2ui`` extra.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from ag_ui_a2ui_toolkit import (
    A2UI_OPERATIONS_KEY,
    BASIC_CATALOG_ID,
    validate_a2ui_components,
)

from copilotkit_django.agents.base import RunInput
from copilotkit_django.agents.middleware.a2ui.inputs import ACTION_TOOL
from copilotkit_django.agents.middleware.a2ui.options import A2UIOptions
from copilotkit_django.agents.middleware.a2ui.surface import (
    Operation,
    StreamedSurface,
    surface_of,
)
from copilotkit_django.agents.middleware.calls import OpenCalls
from copilotkit_django.events.wire import decode, encode

ACTIVITY = "a2ui-surface"

#: What a result says whose tool has given up drawing.
EXHAUSTED = "a2ui_recovery_exhausted"

#: So many characters of arguments are about one token; pages are told of every so many of these.
CHARACTERS_PER_TOKEN = 4
TOKENS_PER_TELLING = 20

#: A surface of more components, or of longer ones, is none that anybody looks at.
MOST_COMPONENTS = 2000
MOST_TEXT = 512 * 1024

#: Checking more than this takes long enough to let others have a turn meanwhile.
LONG_TEXT = 32 * 1024

#: What a person is told of a surface that never came to be.
BROKEN_OFF = "The interface was not finished."
INVALID = "The interface is not valid."

Event = dict[str, Any]


@dataclass(slots=True)
class _Place:
    """Where surfaces are shown: one activity, for one call or all attempts inside of it."""

    attempts: int = 0
    tokens: int = 0
    is_retrying: bool = False
    #: It shows a state that something else must follow.
    is_pending: bool = False
    #: It shows a surface that a call has drawn.
    is_painted: bool = False
    attempts_failed: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Call:
    """One call whose arguments are a surface."""

    key: str
    surface: StreamedSurface = field(default_factory=StreamedSurface)


class Drawing:
    """Follows the events of a run. ``page_catalog`` is the id of the catalogue the page has."""

    def __init__(
        self, options: A2UIOptions, run_input: RunInput, page_catalog: str, *, injected: bool
    ) -> None:
        self._options = options
        self._page_catalog = page_catalog
        self._tools = set(options.tool_names) | ({options.tool} if injected else set())
        self._open = OpenCalls(self._tools.__contains__, run_input)
        self._calls: dict[str, _Call] = {}
        self._places: dict[str, _Place] = {}
        #: The call of another tool inside of which surfaces are being drawn, perhaps.
        self._outer: str | None = None
        self._painted: set[str] = set()

    async def see(self, event: Event) -> list[Event]:
        """What to send for the next event of the run, itself included."""
        self._open.see(event)
        match event["type"]:
            case "TOOL_CALL_START":
                return [*self._started(event), event]
            case "TOOL_CALL_ARGS" if event["toolCallId"] in self._calls:
                call = self._calls[event["toolCallId"]]
                return [*await self._written(call, event["delta"]), event]
            case "TOOL_CALL_RESULT":
                return [event, *self._answered(event)]
            case "RUN_ERROR":
                # Nothing may come after it.
                return [*self.broken_off(), event]
        return [event]

    def finished(self) -> Iterator[Event]:
        """What to send before the end of a run that ends well."""
        for call in self._open:
            drawn = self._calls.get(call.id)
            content: dict[str, Any] = {"status": "rendered"}
            if drawn is not None and not drawn.surface.is_painted:
                failed = self._place(drawn.key).attempts_failed
                content = {"status": "failed", "error": INVALID}
                if failed:
                    content["errors"] = failed[-1]["errors"]
            yield {
                "type": "TOOL_CALL_RESULT",
                "messageId": uuid4().hex,
                "toolCallId": call.id,
                "role": "tool",
                "content": encode(content).decode(),
            }
        yield from self._given_up(INVALID)

    def broken_off(self) -> Iterator[Event]:
        """What to send when nothing more is going to come."""
        yield from self._given_up(BROKEN_OFF)

    def _given_up(self, error: str) -> Iterator[Event]:
        for key, place in self._places.items():
            if place.is_pending:
                place.is_pending = False
                yield self._state(
                    key,
                    status="failed",
                    error=error,
                    attempts=place.attempts_failed,
                    maxAttempts=self._options.max_attempts,
                )

    # Calls that draw

    def _started(self, event: Event) -> Iterator[Event]:
        name, call_id = event["toolCallName"], event["toolCallId"]
        if name not in self._tools:
            if name != ACTION_TOOL:
                self._outer = call_id
            return
        key = self._outer or call_id
        if self._place(key).is_painted:
            # That is another surface, and the call before may not even be about this one.
            key = call_id
        self._calls[call_id] = _Call(key)
        place = self._place(key)
        place.attempts += 1
        place.tokens = 0
        place.is_pending = True
        if not place.is_retrying:
            yield self._state(key, status="building")

    async def _written(self, call: _Call, text: str) -> list[Event]:
        surface, place = call.surface, self._place(call.key)
        surface.feed(text)
        out = []
        if surface.awaits_check:
            errors = await self._errors(surface)
            if errors:
                out.append(self._rejected(call, errors))
            else:
                surface.is_accepted = True
                self._painted.add(surface.surface_id)
        operations = surface.advance(self._catalog_of(surface))
        if operations is not None:
            self._settle(call.key)
            place.is_painted = True
            out.append(self._shown(call.key, operations))
        if place.is_pending and not place.is_retrying and self._options.progress_tokens:
            tokens = round(surface.length / CHARACTERS_PER_TOKEN)
            if tokens - place.tokens >= TOKENS_PER_TELLING:
                place.tokens = tokens
                out.append(self._state(call.key, status="building", progressTokens=tokens))
        return out

    async def _errors(self, surface: StreamedSurface) -> list[dict[str, str]]:
        components = surface.components or []
        if len(components) > MOST_COMPONENTS or surface.length > MOST_TEXT:
            text = "The surface is larger than may be shown."
            return [{"code": "too_large", "path": "components", "message": text}]
        if surface.length > LONG_TEXT:
            return await asyncio.to_thread(self._problems, components)
        return self._problems(components)

    def _problems(self, components: list[Any]) -> list[dict[str, str]]:
        # Data comes after the components: what refers to it cannot be looked up yet.
        checked = validate_a2ui_components(
            components=components, catalog=self._options.catalog, validate_bindings=False
        )
        return list(checked["errors"])

    def _rejected(self, call: _Call, errors: list[dict[str, str]]) -> Event:
        call.surface.is_rejected = True
        place = self._place(call.key)
        place.is_retrying = place.is_pending = True
        place.attempts_failed.append({"attempt": place.attempts, "ok": False, "errors": errors})
        return self._state(
            call.key,
            status="retrying",
            attempt=min(place.attempts + 1, self._options.max_attempts),
            maxAttempts=self._options.max_attempts,
            errors=errors,
        )

    def _catalog_of(self, surface: StreamedSurface) -> str:
        streamed = "" if surface.catalog_id == "basic" else surface.catalog_id
        chosen = self._options.default_catalog_id or self._page_catalog
        return chosen or streamed or BASIC_CATALOG_ID

    # Results that hold surfaces

    def _answered(self, event: Event) -> Iterator[Event]:
        call_id, content = event["toolCallId"], event["content"]
        call = self._calls.get(call_id)
        if isinstance(content, str) and not (call is not None and call.surface.is_painted):
            # Not that of the last call: several may have been made before the first is answered.
            key = call_id if call is None else call.key
            operations = operations_in(content)
            if operations is not None:
                yield from self._drawn_by_result(key, operations)
            elif EXHAUSTED in content:
                yield from self._exhausted(key, content)
        if self._outer == call_id:
            self._outer = None

    def _drawn_by_result(self, key: str, operations: list[Operation]) -> Iterator[Event]:
        by_surface: dict[str, list[Operation]] = {}
        for operation in operations:
            surface_id = surface_of(operation)
            # One that was shown while it was written is not shown again.
            if surface_id is None or surface_id not in self._painted:
                by_surface.setdefault(surface_id or "default", []).append(operation)
        for surface_id, own in by_surface.items():
            # A single one takes the place of what was shown while it was made, but of no surface.
            if len(by_surface) == 1 and not self._place(key).is_painted:
                self._settle(key)
                yield self._shown(key, own)
            else:
                yield self._shown(f"{surface_id}-{key}", own)

    def _exhausted(self, key: str, content: str) -> Iterator[Event]:
        failure = _object_in(content)
        if failure is None or failure.get("code") != EXHAUSTED:
            return
        attempts = failure.get("attempts")
        most = self._options.max_attempts
        self._settle(key)
        yield self._state(
            key,
            status="failed",
            error=str(failure.get("error") or INVALID),
            attempts=attempts if isinstance(attempts, list) else [],
            maxAttempts=len(attempts) or most if isinstance(attempts, list) else most,
        )

    # What is sent

    def _place(self, key: str) -> _Place:
        return self._places.setdefault(key, _Place())

    def _settle(self, key: str) -> None:
        place = self._place(key)
        place.is_pending = place.is_retrying = False

    def _state(self, key: str, **content: Any) -> Event:
        if self._options.debug_exposure is not None:
            content["debugExposure"] = self._options.debug_exposure
        return _activity(key, content)

    def _shown(self, key: str, operations: list[Operation]) -> Event:
        return _activity(key, {A2UI_OPERATIONS_KEY: operations})


def operations_in(content: str) -> list[Operation] | None:
    """The A2UI operations in the result of a tool, written as JSON or as a JSON text of it."""
    if A2UI_OPERATIONS_KEY not in content:
        return None
    found = _object_in(content)
    operations = None if found is None else found.get(A2UI_OPERATIONS_KEY)
    if not isinstance(operations, list):
        return None
    return [operation for operation in operations if isinstance(operation, dict)]


def _object_in(content: str) -> dict[str, Any] | None:
    value: Any = content
    for _ in range(2):
        if isinstance(value, str):
            try:
                value = decode(value.encode(errors="surrogatepass"))
            except ValueError:
                return None
    return value if isinstance(value, dict) else None


def _activity(key: str, content: dict[str, Any]) -> Event:
    return {
        "type": "ACTIVITY_SNAPSHOT",
        "messageId": f"a2ui-surface-{key}",
        "activityType": ACTIVITY,
        "content": content,
        "replace": True,
    }
