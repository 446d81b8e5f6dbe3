"""A record of each tool call: one line in the log, and a signal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.utils.crypto import salted_hmac

from copilotkit_django.background import spawn
from copilotkit_django.events.wire import InvalidEvent, encode
from copilotkit_django.signals import tool_called
from copilotkit_django.workers import worker_thread

if TYPE_CHECKING:
    from copilotkit_django.agents.tools.context import ToolContext
    from copilotkit_django.agents.tools.tool import Tool

logger = logging.getLogger("copilotkit.tool")


def record(tool: Tool, arguments: Any, context: ToolContext, outcome: str, duration: float) -> None:
    """Say that a tool was called. Returns at once; costs nothing where nobody listens."""
    logged, sender = logger.isEnabledFor(logging.INFO), type(tool)
    if not logged and not tool_called.has_listeners(sender):
        return
    facts = {
        "tool": tool.name,
        "tool_call_id": context.tool_call_id,
        "thread_id": context.thread_id,
        "run_id": context.run_id,
        "agent_id": context.agent_id,
        "scope": context.scope,
        "arguments_digest": digest(arguments),
        "outcome": outcome,
    }
    if logged:
        ms = round(duration * 1000)
        extra = {**facts, "user_id": getattr(context.user, "pk", None), "ms": ms}
        logger.info("Tool %s: %s after %d ms.", tool.name, outcome, ms, extra=extra)
    if tool_called.has_listeners(sender):
        more = {"thread_key": context.thread_key, "user": context.user, "duration": duration}
        spawn(_send(sender, {**facts, **more}))


def digest(arguments: Any) -> str:
    """A text that is the same for the same arguments and tells nothing else of them.

    It is keyed with SECRET_KEY: whoever reads a log cannot find short arguments by trying.
    """
    try:
        data = encode(_sorted(arguments))
    except (InvalidEvent, RecursionError):
        data = repr(type(arguments)).encode()
    return salted_hmac("copilotkit.tool", data, algorithm="sha256").hexdigest()[:32]


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=str)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


async def _send(sender: type[Tool], facts: dict[str, Any]) -> None:
    async with worker_thread():
        # Django logs what a receiver raises.
        await tool_called.asend_robust(sender, **facts)
