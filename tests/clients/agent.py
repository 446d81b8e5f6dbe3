"""What the scenarios of the official clients need beyond the scripts of the recorded cases."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from copilotkit_django.agents.base import RunContext
from tests.conformance.scripted import (
    Event,
    ScriptedAgent,
    arguments_delta,
    call_id,
    close_call,
    close_text,
    delta,
    message_id,
    open_call,
    open_text,
    say,
    script_text,
    until_stopped,
)

SUGGESTIONS = (
    {"title": "Go on", "message": "Please go on"},
    {"title": "Finish 🏁", "message": "That is all"},
)


GATE_SECONDS = 60
#: What runs of the script `gated` wait for, by whose they are.
GATES: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


class ChattyAgent(ScriptedAgent):
    def run(self, context: RunContext) -> AsyncIterator[Event]:
        if "toolChoice" in (context.input.forwarded_props or {}):
            return suggest(context)
        script = SCRIPTS.get(script_text(context))
        return super().run(context) if script is None else script(context)


async def suggest(context: RunContext) -> AsyncIterator[Event]:
    tc1 = call_id(context)
    yield context.started()
    yield open_call(tc1, "copilotkitSuggest", message_id(context))
    for part in json.dumps({"suggestions": SUGGESTIONS}).partition("}"):
        yield arguments_delta(tc1, part)
    yield close_call(tc1)
    yield context.finished()


async def confirm(context: RunContext) -> AsyncIterator[Event]:
    """Ask the page, and once it has answered say what it said."""
    yield context.started()
    last = context.messages[-1]
    if last["role"] == "tool":
        for event in say(message_id(context), f"confirmed: {last['content']}"):
            yield event
    else:
        tc1 = call_id(context)
        yield open_call(tc1, "confirm", message_id(context))
        yield arguments_delta(tc1, '{"question":')
        yield arguments_delta(tc1, '"ok?"}')
        yield close_call(tc1)
    yield context.finished()


async def approve(context: RunContext) -> AsyncIterator[Event]:
    """Like the script `interrupt`, but what follows the answer has message ids of its own."""
    yield context.started()
    if resume := context.input.resume:
        for event in say(f"{context.run_id}-approved", json.dumps(resume[0]["payload"])):
            yield event
        yield context.finished(outcome={"type": "success"})
        return
    for event in say(message_id(context), "need approval"):
        yield event
    question = {"id": f"{context.run_id}-q", "reason": "approval", "message": "Proceed?"}
    yield context.finished(outcome={"type": "interrupt", "interrupts": [question]})


async def hangreasoning(context: RunContext) -> AsyncIterator[Event]:
    yield context.started()
    for event in half_a_thought(context):
        yield event
    await until_stopped(context)


async def hangstep(context: RunContext) -> AsyncIterator[Event]:
    yield context.started()
    yield {"type": "STEP_STARTED", "stepName": "plan"}
    for event in say(message_id(context), "planning"):
        yield event
    await until_stopped(context)


async def hangeverything(context: RunContext) -> AsyncIterator[Event]:
    tc1 = call_id(context)
    yield context.started()
    yield {"type": "STEP_STARTED", "stepName": "plan"}
    for event in half_a_thought(context):
        yield event
    yield open_text(message_id(context))
    yield delta(message_id(context), "half a text")
    yield open_call(tc1, "get_weather", f"{context.run_id}-m2")
    yield arguments_delta(tc1, '{"city":')
    await until_stopped(context)


def half_a_thought(context: RunContext) -> list[Event]:
    r1 = f"{context.run_id}-r1"
    return [
        {"type": "REASONING_START", "messageId": r1},
        {"type": "REASONING_MESSAGE_START", "messageId": r1, "role": "reasoning"},
        {"type": "REASONING_MESSAGE_CONTENT", "messageId": r1, "delta": "half a thought"},
    ]


async def gated(context: RunContext) -> AsyncIterator[Event]:
    """Stop in mid-sentence until the same user says `release` somewhere else."""
    m1 = message_id(context)
    yield context.started()
    yield open_text(m1)
    yield delta(m1, "before ")
    await asyncio.wait_for(GATES[context.scope].wait(), GATE_SECONDS)
    yield delta(m1, "and after")
    yield close_text(m1)
    yield context.finished()


async def release(context: RunContext) -> AsyncIterator[Event]:
    GATES[context.scope].set()
    yield context.started()
    yield context.finished()


async def halves(context: RunContext) -> AsyncIterator[Event]:
    """Deltas cut where a tokenizer cuts them: one emoji between its halves."""
    m1 = message_id(context)
    yield context.started()
    yield open_text(m1)
    for part in ("día ", "\ud83d", "\ude00", " 日", "本", "👩\u200d", "💻"):
        yield delta(m1, part)
    yield close_text(m1)
    yield context.finished()


async def measure(context: RunContext) -> AsyncIterator[Event]:
    """Say what arrived of an attachment."""
    parts = context.messages[-1]["content"]
    values = [part["source"]["value"] for part in parts if "source" in part]
    found = [[len(value), hashlib.sha256(value.encode()).hexdigest()] for value in values]
    yield context.started()
    for event in say(message_id(context), json.dumps(found)):
        yield event
    yield context.finished()


# Forms that AG-UI has from 1.0 on


async def parts(context: RunContext) -> AsyncIterator[Event]:
    """A tool result in parts, and a run that says which calls it leaves open."""
    tc1, tc2 = call_id(context), f"{context.run_id}-tc2"
    image = {"type": "image", "source": {"type": "file", "value": "file-1", "provider": "cloud"}}
    yield context.started()
    yield open_call(tc1, "get_chart", message_id(context))
    yield close_call(tc1)
    yield {
        "type": "TOOL_CALL_RESULT",
        "messageId": f"{context.run_id}-tr1",
        "toolCallId": tc1,
        "role": "tool",
        "content": [{"type": "text", "text": "a chart"}, image],
    }
    yield open_call(tc2, "confirm", f"{context.run_id}-m2")
    yield close_call(tc2)
    yield context.finished(outcome={"type": "success", "pendingToolCallIds": [tc2]})


async def cancelled(context: RunContext) -> AsyncIterator[Event]:
    yield context.started()
    for event in say(message_id(context), "never mind"):
        yield event
    yield context.finished(outcome={"type": "cancelled"})


SCRIPTS: Mapping[str, Callable[[RunContext], AsyncIterator[Event]]] = {
    script.__name__: script
    for script in (
        *(confirm, approve, hangreasoning, hangstep, hangeverything, gated, release),
        *(halves, measure, parts, cancelled),
    )
}

AGENTS: Mapping[str, Any] = {"default": ChattyAgent("Scripted"), "other": ChattyAgent("Another")}
