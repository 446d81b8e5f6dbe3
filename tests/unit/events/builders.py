"""Short ways to write events down."""

from __future__ import annotations

from typing import Any

Event = dict[str, Any]

STARTED: Event = {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"}
FINISHED: Event = {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1"}
FAILED: Event = {"type": "RUN_ERROR", "message": "boom"}


def opened(message_id: str = "m1", **fields: Any) -> Event:
    return {"type": "TEXT_MESSAGE_START", "messageId": message_id, **fields}


def delta(message_id: str, text: str, **fields: Any) -> Event:
    return {"type": "TEXT_MESSAGE_CONTENT", "messageId": message_id, "delta": text, **fields}


def closed(message_id: str = "m1", **fields: Any) -> Event:
    return {"type": "TEXT_MESSAGE_END", "messageId": message_id, **fields}


def call(call_id: str = "c1", name: str = "f", **fields: Any) -> Event:
    return {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": name, **fields}


def args(call_id: str, text: str, **fields: Any) -> Event:
    return {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": text, **fields}


def called(call_id: str = "c1", **fields: Any) -> Event:
    return {"type": "TOOL_CALL_END", "toolCallId": call_id, **fields}


def answer(call_id: str = "c1", content: Any = "ok", **fields: Any) -> Event:
    return {
        "type": "TOOL_CALL_RESULT",
        "messageId": f"{call_id}-answer",
        "toolCallId": call_id,
        "content": content,
        **fields,
    }


def reasoning(kind: str, message_id: str = "r1", **fields: Any) -> Event:
    return {"type": f"REASONING_{kind}", "messageId": message_id, **fields}


def step(kind: str, name: str = "plan", **fields: Any) -> Event:
    return {"type": f"STEP_{kind}", "stepName": name, **fields}


def subagent(kind: str, subagent_id: str = "s1", **fields: Any) -> Event:
    return {"type": f"SUBAGENT_{kind}", "subagentRunId": subagent_id, **fields}


def custom(name: str) -> Event:
    return {"type": "CUSTOM", "name": name, "value": None}


def snapshot(value: Any, **fields: Any) -> Event:
    return {"type": "STATE_SNAPSHOT", "snapshot": value, **fields}


def patch(*operations: Event, **fields: Any) -> Event:
    return {"type": "STATE_DELTA", "delta": list(operations), **fields}


def put(path: str, value: Any) -> Event:
    return {"op": "add", "path": path, "value": value}
