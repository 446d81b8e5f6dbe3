"""Tools called the way a driver of tools calls them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from copilotkit_django.agents import RunContext, RunInput, Tool, ToolContext, ToolResult
from copilotkit_django.agents.tools import threads
from tests.talk import SECONDS, run_input, within


def run_context(*, user: Any = None, expose_errors: bool = False, **fields: Any) -> RunContext:
    return RunContext(
        RunInput.from_wire(run_input(**fields)),
        agent_id="default",
        user=user,
        scope="anon:1",
        thread_key="key",
        expose_errors=expose_errors,
    )


def context_of(*, approved: bool = False, **options: Any) -> ToolContext:
    return ToolContext(run_context(**options), "call-1", approved=approved)


async def call(
    tool: Tool, arguments: Any = None, context: ToolContext | None = None, **options: Any
) -> ToolResult:
    """The result of one call, or TimeoutError."""
    context = context or context_of(**options)
    return await within(tool.call({} if arguments is None else arguments, context))


def not_before(begun: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time a synchronous call may take is not over before it has come so far."""
    submit = threads._threads.submit

    def submit_and_wait(*arguments: Any) -> Any:
        future = submit(*arguments)
        assert begun.wait(SECONDS)
        return future

    monkeypatch.setattr(threads._threads, "submit", submit_and_wait)


async def content(tool: Tool, arguments: Any = None, **options: Any) -> str:
    """What a call that succeeds says."""
    result = await call(tool, arguments, **options)
    assert not result.error, result.content
    return result.content


async def complaint(tool: Tool, arguments: Any = None, **options: Any) -> str:
    """What a call that fails says."""
    result = await call(tool, arguments, **options)
    assert result.error, result.content
    return result.content
