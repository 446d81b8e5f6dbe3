"""The scripted agent: what it yields is chosen by the text of the message it is sent.

A script is a name and arguments joined by colons, `slow:20:5` for one. Every script is an async
generator; `SCRIPTS` at the end lists them. Ids are derived from the run id, so that a run can be
repeated exactly.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Self

from copilotkit_django.agents.base import Agent, RunContext

Event = dict[str, Any]
Script = Callable[..., AsyncIterator[Event]]

#: Long enough for earlier events to be on the wire before an agent misbehaves.
FLUSH_SECONDS = 0.025

#: So many times slower agents speak than their scripts say.
slowness = 1.0

UNICODE = (
    "héllo ",
    "日本語 ",
    "👩\u200d💻 ",
    "line\nbreak\r\n",
    "sep\u2028\u2029",
    'quote"back\\slash',
    "tab\tnul\0",
    "\U0001f600",
)


class ScriptError(Exception):
    """What a script raises on purpose."""


class ScriptedAgent(Agent):
    def __init__(
        self, description: str = "", capabilities: Mapping[str, Any] | Exception | None = None
    ) -> None:
        self.description = description
        self._capabilities = capabilities

    def run(self, context: RunContext) -> AsyncIterator[Event]:
        text = script_text(context)
        name, *arguments = text.split(":")
        script = SCRIPTS.get(name)
        if script is None:
            return saying(context, f"unknown script: {text}")
        return script(context, *(number(argument) for argument in arguments))

    def clone(self) -> Self:
        return self  # nothing in it changes during a run

    async def capabilities(self) -> Mapping[str, Any] | None:
        if isinstance(self._capabilities, Exception):
            raise self._capabilities
        return self._capabilities


def script_text(context: RunContext) -> str:
    properties = context.input.forwarded_props
    if isinstance(properties, dict) and isinstance(properties.get("script"), str):
        return properties["script"]
    return context.last_user_text


def number(argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        return 0


# Events


def message_id(context: RunContext, n: int = 1) -> str:
    return f"{context.run_id}-m{n}"


def call_id(context: RunContext) -> str:
    return f"{context.run_id}-tc1"


def open_text(id: str, **extra: Any) -> Event:
    return {"type": "TEXT_MESSAGE_START", "messageId": id, "role": "assistant", **extra}


def delta(id: str, text: str, **extra: Any) -> Event:
    return {"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": text, **extra}


def close_text(id: str, **extra: Any) -> Event:
    return {"type": "TEXT_MESSAGE_END", "messageId": id, **extra}


def say(id: str, text: str, **extra: Any) -> Iterator[Event]:
    yield open_text(id, **extra)
    yield delta(id, text, **extra)
    yield close_text(id, **extra)


def open_call(id: str, name: str, parent: str | None = None) -> Event:
    start = {"type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": name}
    return start if parent is None else {**start, "parentMessageId": parent}


def arguments_delta(id: str, text: str) -> Event:
    return {"type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": text}


def close_call(id: str) -> Event:
    return {"type": "TOOL_CALL_END", "toolCallId": id}


def state_delta(*operations: Event) -> Event:
    return {"type": "STATE_DELTA", "delta": list(operations)}


def add(path: str, value: Any) -> Event:
    return {"op": "add", "path": path, "value": value}


# Waiting


async def flush() -> None:
    await asyncio.sleep(FLUSH_SECONDS)


async def stopped_within(context: RunContext, seconds: float) -> bool:
    """Wait, and say whether the user pressed stop meanwhile."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if not context.stop.is_set():
            raise
    return context.stop.is_set()


async def until_stopped(context: RunContext) -> None:
    try:
        await context.stop.wait()
    except asyncio.CancelledError:
        if not context.stop.is_set():
            raise


# Scripts: text


async def saying(context: RunContext, text: str) -> AsyncIterator[Event]:
    yield context.started()
    for event in say(message_id(context), text):
        yield event
    yield context.finished()


async def text(context: RunContext, count: float = 0, *_: float) -> AsyncIterator[Event]:
    m1 = message_id(context)
    yield context.started()
    yield open_text(m1)
    for i in range(int(count)):
        # Written out: load tests measure the server, not this agent.
        yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": m1, "delta": f"tok{i} "}
    yield close_text(m1)
    yield context.finished()


async def slow(
    context: RunContext, count: float = 0, ms: float = 0, *_: float
) -> AsyncIterator[Event]:
    m1 = message_id(context)
    yield context.started()
    yield open_text(m1)
    for i in range(int(count)):
        if await stopped_within(context, ms / 1000 * slowness):
            return
        yield delta(m1, f"tok{i} ")
    yield close_text(m1)
    yield context.finished()


async def stamp(
    context: RunContext, count: float = 0, ms: float = 0, *_: float
) -> AsyncIterator[Event]:
    """Like `slow`, but on a fixed schedule; each delta is the time it was due."""
    m1 = message_id(context)
    yield context.started()
    yield open_text(m1)
    begin = time.time()
    for i in range(int(count)):
        due = begin + (i + 1) * ms / 1000
        wait = due - time.time()
        if wait > 0 and await stopped_within(context, wait):
            return
        text = f"{due * 1000:.3f} "
        yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": m1, "delta": text}
    yield close_text(m1)
    yield context.finished()


async def messages(context: RunContext, count: float = 0, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    for i in range(1, int(count) + 1):
        for event in say(message_id(context, i), f"part {i}"):
            yield event
    yield context.finished()


async def unicode(context: RunContext, *_: float) -> AsyncIterator[Event]:
    m1 = message_id(context)
    yield context.started()
    yield open_text(m1)
    for part in UNICODE:
        yield delta(m1, part)
    yield close_text(m1)
    yield context.finished()


def big(context: RunContext, kilobytes: float = 0, *_: float) -> AsyncIterator[Event]:
    return saying(context, "x" * 1024 * int(kilobytes))


def emptydelta(context: RunContext, *_: float) -> AsyncIterator[Event]:
    return saying(context, "")


def whoami(context: RunContext, *_: float) -> AsyncIterator[Event]:
    return saying(context, f"agent={context.agent_id}")


def echo(context: RunContext, *_: float) -> AsyncIterator[Event]:
    wire = context.input.to_wire()
    shown = {
        # An agent always finds a state, if only that there is none.
        "keys": sorted(wire.keys() | {"state"}),
        "messages": wire["messages"],
        "tools": wire["tools"],
        "context": wire["context"],
        "forwardedProps": wire["forwardedProps"],
        "resume": wire.get("resume"),
    }
    if context.state is not None:
        shown["state"] = context.state
    return saying(context, compact_json(shown))


def compact_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def extra(context: RunContext, *_: float) -> AsyncIterator[Event]:
    m1 = message_id(context)
    yield context.started(timestamp=1700000000000, foo="bar")
    yield open_text(m1, timestamp=1700000000001, metadata={"k": 1})
    yield delta(m1, "x", extra={"deep": [None, True]})
    yield close_text(m1)
    yield context.finished(result={"ok": True})


async def startedinput(context: RunContext, *_: float) -> AsyncIterator[Event]:
    wire = context.input.to_wire()
    yield context.started(input={**wire, "messages": wire["messages"][-1:]})
    for event in say(message_id(context), "hi"):
        yield event
    yield context.finished()


# Scripts: tools, state and the other kinds of events


async def tools(context: RunContext, *_: float) -> AsyncIterator[Event]:
    tc1 = call_id(context)
    yield context.started()
    yield open_call(tc1, "get_weather", message_id(context))
    yield arguments_delta(tc1, '{"city":')
    yield arguments_delta(tc1, '"Paris"}')
    yield close_call(tc1)
    yield {
        "type": "TOOL_CALL_RESULT",
        "messageId": f"{context.run_id}-tr1",
        "toolCallId": tc1,
        "role": "tool",
        "content": '{"temp":21}',
    }
    for event in say(message_id(context, 2), "It is 21 degrees."):
        yield event
    yield context.finished()


async def clienttool(context: RunContext, *_: float) -> AsyncIterator[Event]:
    tc1 = call_id(context)
    yield context.started()
    yield open_call(tc1, "confirm", message_id(context))
    yield arguments_delta(tc1, '{"question":"ok?"}')
    yield close_call(tc1)
    yield context.finished()


async def chunks(context: RunContext, *_: float) -> AsyncIterator[Event]:
    m1, tc1 = message_id(context), call_id(context)
    yield context.started()
    yield {"type": "TEXT_MESSAGE_CHUNK", "messageId": m1, "role": "assistant", "delta": "Hel"}
    yield {"type": "TEXT_MESSAGE_CHUNK", "messageId": m1, "delta": "lo"}
    yield {
        "type": "TOOL_CALL_CHUNK",
        "toolCallId": tc1,
        "toolCallName": "get_weather",
        "parentMessageId": m1,
        "delta": '{"a":',
    }
    yield {"type": "TOOL_CALL_CHUNK", "toolCallId": tc1, "delta": "1}"}
    yield context.finished()


async def state(context: RunContext, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    yield {"type": "STATE_SNAPSHOT", "snapshot": {"count": 0, "items": []}}
    yield state_delta({"op": "replace", "path": "/count", "value": 1})
    yield state_delta(add("/items/-", "a"), add("/items/-", "b"))
    yield state_delta(add("/done", True))
    for event in say(message_id(context), "state updated"):
        yield event
    yield context.finished()


async def statedelta(context: RunContext, value: float = 0, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    yield state_delta(add("/n", int(value)))
    yield context.finished()


async def snapshot(context: RunContext, *_: float) -> AsyncIterator[Event]:
    answer = {"id": f"{context.run_id}-a1", "role": "assistant", "content": "from snapshot"}
    yield context.started()
    yield {"type": "MESSAGES_SNAPSHOT", "messages": [*context.messages, answer]}
    yield context.finished()


async def steps(context: RunContext, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    yield {"type": "STEP_STARTED", "stepName": "plan"}
    for event in say(message_id(context), "planning"):
        yield event
    yield {"type": "STEP_FINISHED", "stepName": "plan"}
    yield context.finished()


async def reasoning(context: RunContext, *_: float) -> AsyncIterator[Event]:
    r1 = f"{context.run_id}-r1"
    yield context.started()
    yield {"type": "REASONING_START", "messageId": r1}
    yield {"type": "REASONING_MESSAGE_START", "messageId": r1, "role": "reasoning"}
    yield {"type": "REASONING_MESSAGE_CONTENT", "messageId": r1, "delta": "let me "}
    yield {"type": "REASONING_MESSAGE_CONTENT", "messageId": r1, "delta": "think"}
    yield {"type": "REASONING_MESSAGE_END", "messageId": r1}
    yield {"type": "REASONING_END", "messageId": r1}
    for event in say(message_id(context), "42"):
        yield event
    yield context.finished()


async def activity(context: RunContext, *_: float) -> AsyncIterator[Event]:
    activity = {"messageId": f"{context.run_id}-act1", "activityType": "PLAN"}
    yield context.started()
    yield {"type": "ACTIVITY_SNAPSHOT", **activity, "content": {"steps": ["a"]}, "replace": True}
    yield {"type": "ACTIVITY_DELTA", **activity, "patch": [add("/steps/-", "b")]}
    yield context.finished()


async def custom(context: RunContext, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    yield {"type": "CUSTOM", "name": "progress", "value": {"pct": 50, "label": "half"}}
    yield {"type": "RAW", "event": {"provider": "x", "data": [1, 2]}, "source": "scripted"}
    for event in say(message_id(context), "done"):
        yield event
    yield context.finished()


async def headers(context: RunContext, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    yield {"type": "CUSTOM", "name": "headers", "value": dict(context.headers)}
    yield context.finished()


async def interrupt(context: RunContext, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    if resume := context.input.resume:
        for event in say(message_id(context), f"resumed {compact_json(resume)}"):
            yield event
        yield context.finished(outcome={"type": "success"})
        return
    for event in say(message_id(context), "need approval"):
        yield event
    question = {"id": f"{context.run_id}-int1", "reason": "approval", "message": "Proceed?"}
    yield context.finished(outcome={"type": "interrupt", "interrupts": [question]})


async def subagent(context: RunContext, *_: float) -> AsyncIterator[Event]:
    s1 = f"{context.run_id}-s1"
    yield context.started()
    yield {"type": "SUBAGENT_STARTED", "subagentRunId": s1, "name": "helper"}
    for event in say(message_id(context), "sub", subagentRunId=s1):
        yield event
    yield {"type": "SUBAGENT_FINISHED", "subagentRunId": s1}
    yield context.finished()


# Scripts: agents that fail


async def error(context: RunContext, *_: float) -> AsyncIterator[Event]:
    async for event in noend(context):
        yield event
    await flush()
    raise ScriptError("boom")


async def errorsync(context: RunContext, *_: float) -> AsyncIterator[Event]:
    async for event in noend(context):
        yield event
    raise ScriptError("boom")


async def errortool(context: RunContext, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    yield open_call(call_id(context), "get_weather")
    yield arguments_delta(call_id(context), '{"city":')
    await flush()
    raise ScriptError("boom")


async def error0(context: RunContext, *_: float) -> AsyncIterator[Event]:
    raise ScriptError("boom at once")
    yield {}


async def runerror(context: RunContext, *_: float) -> AsyncIterator[Event]:
    m1 = message_id(context)
    yield context.started()
    yield open_text(m1)
    yield delta(m1, "partial ")
    yield {"type": "RUN_ERROR", "message": "scripted failure", "code": "SCRIPTED"}


async def noend(context: RunContext, *_: float) -> AsyncIterator[Event]:
    m1 = message_id(context)
    yield context.started()
    yield open_text(m1)
    yield delta(m1, "partial ")
    yield delta(m1, "answer ")


async def noendtool(context: RunContext, *_: float) -> AsyncIterator[Event]:
    m1, tc1 = message_id(context), call_id(context)
    yield context.started()
    for event in say(m1, "calling"):
        yield event
    yield open_call(tc1, "get_weather", m1)
    yield arguments_delta(tc1, '{"city":')


async def noendtoolresult(context: RunContext, *_: float) -> AsyncIterator[Event]:
    tc1 = call_id(context)
    yield context.started()
    yield open_call(tc1, "get_weather", message_id(context))
    yield arguments_delta(tc1, "{}")
    yield close_call(tc1)


async def empty(context: RunContext, *_: float) -> AsyncIterator[Event]:
    return
    yield {}


async def nostart(context: RunContext, *_: float) -> AsyncIterator[Event]:
    for event in say(message_id(context), "x"):
        yield event
    yield context.finished()


async def badorder(context: RunContext, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    await flush()
    yield delta(message_id(context), "x")
    yield context.finished()


async def openfinish(context: RunContext, *_: float) -> AsyncIterator[Event]:
    m1 = message_id(context)
    yield context.started()
    yield open_text(m1)
    yield delta(m1, "x")
    await flush()
    yield context.finished()


async def afterend(context: RunContext, *_: float) -> AsyncIterator[Event]:
    async for event in saying(context, "x"):
        yield event
    await flush()
    yield delta(message_id(context), "late")


async def unknownevent(context: RunContext, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    yield {"type": "SOMETHING_NEW", "value": 1}
    yield context.finished()


# Scripts: agents that are stopped


async def half_a_text(context: RunContext, count: float) -> AsyncIterator[Event]:
    m1 = message_id(context)
    yield context.started()
    yield open_text(m1)
    for i in range(int(count)):
        yield delta(m1, f"tok{i} ")


async def hang(context: RunContext, count: float = 0, *_: float) -> AsyncIterator[Event]:
    async for event in half_a_text(context, count):
        yield event
    await until_stopped(context)


async def hangtool(context: RunContext, *_: float) -> AsyncIterator[Event]:
    yield context.started()
    yield open_call(call_id(context), "get_weather", message_id(context))
    yield arguments_delta(call_id(context), '{"city":')
    await until_stopped(context)


async def hangthrow(context: RunContext, count: float = 0, *_: float) -> AsyncIterator[Event]:
    async for event in half_a_text(context, count):
        yield event
    await until_stopped(context)
    raise ScriptError("aborted by caller")


async def hangignore(
    context: RunContext, count: float = 0, ms: float = 0, *_: float
) -> AsyncIterator[Event]:
    async for event in half_a_text(context, count):
        yield event
    due = time.monotonic() + ms / 1000 * slowness
    while (left := due - time.monotonic()) > 0:
        await stopped_within(context, left)
    yield close_text(message_id(context))
    yield context.finished()


SCRIPTS: Mapping[str, Script] = {
    script.__name__: script
    for script in (
        *(text, slow, stamp, messages, unicode, big, emptydelta, whoami, echo, extra),
        *(startedinput, tools, clienttool, chunks, state, statedelta, snapshot, steps),
        *(reasoning, activity, custom, headers, interrupt, subagent),
        *(error, errorsync, errortool, error0, runerror, noend, noendtool, noendtoolresult),
        *(empty, nostart, badorder, openfinish, afterend, unknownevent),
        *(hang, hangtool, hangthrow, hangignore),
    )
}
