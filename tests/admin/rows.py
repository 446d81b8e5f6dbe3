"""Threads and runs as a runner would have left them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from copilotkit_django.keys import digest_of, thread_key
from copilotkit_django.models import Run, Segment, Thread
from copilotkit_django.runners.store import lines

Event = dict[str, Any]


def a_thread(thread_id: str = "t1", scope: str = "user:1", **fields: Any) -> Thread:
    now = timezone.now()
    defaults = {
        "scope": scope,
        "scope_key": digest_of(scope),
        "thread_id": thread_id,
        "key": thread_key(scope, thread_id),
        "agent_id": "default",
        "created_at": now,
        "updated_at": now,
        "last_run_at": now,
    }
    return Thread.objects.create(**{**defaults, **fields})


def a_run(thread: Thread, events: list[Event] | None = None, **fields: Any) -> Run:
    """The next run of a thread, ended unless ``compacted=None``."""
    thread.fence += 1
    thread.save(update_fields=["fence"])
    started: datetime = timezone.now() - timedelta(seconds=2.5)
    run_id = f"r{thread.fence}"
    events = asked_and_answered(run_id) if events is None else events
    defaults = {
        "position": thread.fence,
        "run_id": run_id,
        "digest": "",
        "token": "",
        "status": Run.Status.FINISHED,
        "agent_id": "default",
        "started_at": started,
        "ended_at": started + timedelta(seconds=2.5),
        "event_count": len(events),
        "input": b"{}",
        "compacted": lines(events),
    }
    return Run.objects.create(thread=thread, **{**defaults, **fields})


def raw(run: Run, *pieces: list[Event]) -> None:
    """The events of a run as they were sent, in as many segments as there are pieces."""
    first = 0
    for piece in pieces:
        last = first + len(piece) - 1
        Segment.objects.create(run=run, first=first, last=last, data=lines(piece))
        first = last + 1


def started(run_id: str, *messages: Event) -> Event:
    return {
        "type": "RUN_STARTED",
        "threadId": "t",
        "runId": run_id,
        "input": {"threadId": "t", "runId": run_id, "messages": list(messages)},
    }


def finished(run_id: str, **fields: Any) -> Event:
    return {"type": "RUN_FINISHED", "threadId": "t", "runId": run_id, **fields}


def text(message_id: str, said: str, role: str = "assistant") -> list[Event]:
    return [
        {"type": "TEXT_MESSAGE_START", "messageId": message_id, "role": role},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": message_id, "delta": said},
        {"type": "TEXT_MESSAGE_END", "messageId": message_id},
    ]


def reasoning(message_id: str, thought: str) -> list[Event]:
    return [
        {"type": "REASONING_START", "messageId": message_id},
        {"type": "REASONING_MESSAGE_START", "messageId": message_id, "role": "reasoning"},
        {"type": "REASONING_MESSAGE_CONTENT", "messageId": message_id, "delta": thought},
        {"type": "REASONING_MESSAGE_END", "messageId": message_id},
        {"type": "REASONING_END", "messageId": message_id},
    ]


def call(
    call_id: str, name: str, arguments: str, parent: str, result: str | None = None
) -> list[Event]:
    events = [
        {
            "type": "TOOL_CALL_START",
            "toolCallId": call_id,
            "toolCallName": name,
            "parentMessageId": parent,
        },
        {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": arguments},
        {"type": "TOOL_CALL_END", "toolCallId": call_id},
    ]
    if result is not None:
        events.append(
            {
                "type": "TOOL_CALL_RESULT",
                "messageId": f"{call_id}-result",
                "toolCallId": call_id,
                "content": result,
            }
        )
    return events


def asked_and_answered(
    run_id: str, question: str = "What is open?", answer: str = "Milk."
) -> list[Event]:
    user = {"id": f"{run_id}-u", "role": "user", "content": question}
    return [started(run_id, user), *text(f"{run_id}-a", answer), finished(run_id)]


def everything(run_id: str = "r1", mark: str = "secret") -> list[Event]:
    """A run with one of everything that can be read, each holding ``mark``."""
    user = {
        "id": f"{run_id}-u",
        "role": "user",
        "content": [
            {"type": "text", "text": f"question {mark}"},
            {"type": "image", "source": {"type": "data", "value": "AAAA", "mimeType": "image/png"}},
        ],
    }
    return [
        started(run_id, user),
        *reasoning(f"{run_id}-r", f"thought {mark}"),
        *text(f"{run_id}-a", f"answer {mark}"),
        *call(
            f"{run_id}-c",
            f"tool-{mark}",
            lines([{"argument": mark}]).decode(),
            f"{run_id}-a",
            lines([{"result": mark}]).decode(),
        ),
        {
            "type": "ACTIVITY_SNAPSHOT",
            "messageId": f"{run_id}-p",
            "activityType": f"PLAN {mark}",
            "content": {"steps": [mark]},
        },
        {"type": "CUSTOM", "name": f"custom {mark}", "value": mark},
        {"type": "STATE_SNAPSHOT", "snapshot": {"state": mark}},
        finished(
            run_id,
            outcome={
                "type": "interrupt",
                "interrupts": [{"id": "i1", "reason": "approval", "message": f"may I {mark}"}],
            },
        ),
    ]
