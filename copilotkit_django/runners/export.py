"""A stored thread as JSON Lines: to be handed to the person it belongs to, or kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from copilotkit_django.events.wire import encode
from copilotkit_django.models import Run, Segment, Thread

#: Runs, or pieces of a live run, read at a time.
PAGE = 10


def export_thread(thread: Thread) -> Iterator[bytes]:
    """The lines of one thread, a run's worth of them at a time.

    A line for the thread, and for each run, in order, a line for the run followed by one for each
    of its events. ``kind`` says what a line is. An ended run has its compacted events, one that is
    live those that are stored so far. Superseded runs are no part of the conversation.
    """
    alias = thread._state.db
    yield _line(
        {
            "kind": "thread",
            "threadId": thread.thread_id,
            "scope": thread.scope,
            "user": None if thread.user is None else thread.user.get_username(),
            "agentId": thread.agent_id,
            "name": thread.name or None,
            "archived": thread.archived,
            "createdAt": thread.created_at.isoformat(),
            "updatedAt": thread.updated_at.isoformat(),
            "lastRunAt": thread.last_run_at and thread.last_run_at.isoformat(),
        }
    )
    runs = Run.objects.using(alias).filter(thread=thread).in_history().defer("input")
    after = 0
    while page := list(runs.filter(position__gt=after)[:PAGE]):
        for run in page:
            after = run.position
            about = {"threadId": thread.thread_id, "position": run.position}
            yield _line(
                {
                    "kind": "run",
                    **about,
                    "runId": run.run_id,
                    "agentId": run.agent_id,
                    "status": run.status,
                    "error": run.error or None,
                    "usage": run.usage,
                    "startedAt": run.started_at.isoformat(),
                    "endedAt": run.ended_at and run.ended_at.isoformat(),
                }
            )
            for events in _stored_events(run):
                # What is stored is JSON already; put around it, it need not be parsed.
                before = encode({"kind": "event", **about})[:-1] + b',"event":'
                yield b"".join([before + event + b"}\n" for event in events])


def _stored_events(run: Run) -> Iterator[list[bytes]]:
    if run.compacted is not None:
        yield _split(run.compacted)
        return
    segments = Segment.objects.using(run._state.db).filter(run=run).order_by("first")
    after = -1
    while page := list(segments.filter(first__gt=after)[:PAGE]):
        after = page[-1].first
        for segment in page:
            yield _split(segment.data)


def _split(data: bytes | memoryview) -> list[bytes]:
    return [event for event in bytes(data).split(b"\n") if event]


def _line(value: dict[str, Any]) -> bytes:
    return encode(value) + b"\n"
