"""Writes as a runner would hand them to the store."""

from __future__ import annotations

import itertools
from typing import Any

from copilotkit_django.runners.writes import Append, Claim, Claimed, Finish, Release, Status

from .asking import thread

_tokens = itertools.count()


def claim(thread_id: str = "t1", **fields: Any) -> Claim:
    ref = thread(thread_id, fields.pop("scope", "user:1"))
    defaults = {
        "ref": ref,
        "key": ref.key,
        "user": None,
        "agent_id": "default",
        "run_id": "r1",
        "digest": "",
        "token": f"token-{next(_tokens)}",
        "holder": "holder",
        "lease_ms": 60_000,
        "modern": False,
        "supersede": False,
        "message_ids": (),
        "stored_input": lambda seen: b'{"threadId":"t1","runId":"r1","messages":[]}',
        "resend_seconds": 0.0,
    }
    return Claim(**{**defaults, **fields})


def append(of: Claimed, first: int, *events: bytes, thread_id: str = "t1") -> Append:
    last = first + len(events) - 1
    key = thread(thread_id).key
    return Append(key, of.thread, of.run, of.position, first, last, b"\n".join(events))


def finish(of: Claimed, *, thread_id: str = "t1", **fields: Any) -> Finish:
    defaults = {
        "key": thread(thread_id).key,
        "thread": of.thread,
        "run": of.run,
        "position": of.position,
        "agent_id": "default",
        "status": Status.FINISHED,
        "error": "",
        "usage": None,
        "event_count": 0,
        "compacted": b'{"type":"RUN_STARTED"}',
        "message_ids": (),
        "tail": (),
    }
    return Finish(**{**defaults, **fields})


def release(of: Claimed, thread_id: str = "t1") -> Release:
    return Release(thread(thread_id).key, of.thread, of.run, of.position)
