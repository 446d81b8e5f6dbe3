"""Agents whose progress a test decides, and one that shows everything it was sent."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from copilotkit_django.agents.base import RunContext
from copilotkit_django.agents.function import agent

Event = dict[str, Any]

#: By thread id: how many more events a gated agent may yield.
gates: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))


def setting(context: RunContext, name: str, default: float) -> float:
    properties = context.input.forwarded_props
    return properties.get(name, default) if isinstance(properties, dict) else default


def delta(context: RunContext, text: str) -> Event:
    return {"type": "TEXT_MESSAGE_CONTENT", "messageId": message_id(context), "delta": text}


def message_id(context: RunContext) -> str:
    return f"{context.run_id}-answer"


@agent
async def silent(context: RunContext) -> AsyncIterator[Event]:
    """Says nothing for forwardedProps.seconds, then two events.

    With forwardedProps.gate it waits at the gate of its thread as well.
    """
    await asyncio.sleep(setting(context, "seconds", 0))
    if setting(context, "gate", 0):
        await gates[context.thread_id].acquire()
    yield context.started()
    yield context.finished()


@agent
async def gated(context: RunContext) -> AsyncIterator[Event]:
    """Waits at the gate of its thread before each of forwardedProps.count deltas."""
    yield context.started()
    yield {"type": "TEXT_MESSAGE_START", "messageId": message_id(context), "role": "assistant"}
    for number in range(int(setting(context, "count", 1))):
        await gates[context.thread_id].acquire()
        yield delta(context, f"part {number} ")
    yield {"type": "TEXT_MESSAGE_END", "messageId": message_id(context)}
    yield context.finished()


@agent
async def endless(context: RunContext) -> AsyncIterator[Event]:
    """Begins a text and never goes on."""
    yield context.started()
    yield {"type": "TEXT_MESSAGE_START", "messageId": message_id(context), "role": "assistant"}
    await asyncio.Event().wait()


@agent
async def large(context: RunContext) -> AsyncIterator[Event]:
    """Says forwardedProps.count deltas of forwardedProps.size letters.

    With forwardedProps.gate it waits at the gate of its thread before it ends.
    """
    yield context.started()
    yield {"type": "TEXT_MESSAGE_START", "messageId": message_id(context), "role": "assistant"}
    for _ in range(int(setting(context, "count", 1))):
        yield delta(context, "x" * int(setting(context, "size", 1)))
    if setting(context, "gate", 0):
        await gates[context.thread_id].acquire()
    yield {"type": "TEXT_MESSAGE_END", "messageId": message_id(context)}
    yield context.finished()


@agent
async def mirror(context: RunContext) -> AsyncIterator[Event]:
    """Sends back everything it was sent, in the kind of event that holds it."""
    yield context.started()
    if context.state is not None:
        yield {"type": "STATE_SNAPSHOT", "snapshot": context.state}
    yield {"type": "TEXT_MESSAGE_START", "messageId": message_id(context), "role": "assistant"}
    yield delta(context, context.last_user_text)
    yield {"type": "TEXT_MESSAGE_END", "messageId": message_id(context)}
    yield {"type": "CUSTOM", "name": "forwarded", "value": context.input.forwarded_props}
    yield {"type": "RAW", "event": {"tools": context.input.tools, "resume": context.input.resume}}
    if context.messages:
        yield {"type": "MESSAGES_SNAPSHOT", "messages": context.messages}
    yield context.finished(result=context.input.context)


AGENTS = {"default": mirror, "silent": silent, "gated": gated, "endless": endless, "large": large}
