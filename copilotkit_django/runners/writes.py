"""What can be written for a run, and what the answer to it may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from copilotkit_django.budgets import Window
from copilotkit_django.models import Run
from copilotkit_django.runners.base import ThreadRef

Status = Run.Status


class Write:
    """One thing to do in a flush. ``key`` is the thread it is about."""

    key: str


class Busy(NamedTuple):
    """The claim found the thread taken by another run."""


class Expired(NamedTuple):
    """The claim found the lease of a dead run: finalise that one first."""


class Again(NamedTuple):
    """The claim is a request that was sent before: follow the run it started."""

    run: int
    position: int
    live: bool


class Claimed(NamedTuple):
    """The thread is the caller's. ``seen`` are those of the asked message ids it knows."""

    thread: int
    run: int
    position: int
    seen: frozenset[str]
    #: What agents remember the thread by; empty: by its key.
    memory_key: str = ""


class Gone(NamedTuple):
    """A later run has taken the thread: what was to be written was dropped."""


class Done(NamedTuple):
    """It is written."""


@dataclass(slots=True)
class Claim(Write):
    """Take a thread for a run and store the run with the messages new to the thread."""

    ref: ThreadRef
    key: str
    user: Any
    agent_id: str
    run_id: str
    digest: str
    token: str
    holder: str
    lease_ms: int
    modern: bool
    supersede: bool
    message_ids: Sequence[str]
    #: The stored form of the run input, given the message ids that are not new.
    stored_input: Callable[[frozenset[str]], bytes]
    #: A run that ended so long ago is not given to whoever sends its request again.
    resend_seconds: float
    #: Nobody waits for the answer any more.
    cancelled: bool = False


@dataclass(slots=True)
class Append(Write):
    """Add raw events to a run that still owns its thread."""

    key: str
    thread: int
    run: int
    position: int
    first: int
    last: int
    data: bytes


@dataclass(slots=True)
class Finish(Write):
    """End a run: its compacted events, the rest of the raw ones, its thread free again."""

    key: str
    thread: int
    run: int
    position: int
    agent_id: str
    status: Status
    error: str
    usage: Any
    event_count: int
    compacted: bytes
    message_ids: Iterable[str]
    tail: Sequence[Append]
    #: So many raw events were stored before the process was lost.
    kept_count: int | None = None


@dataclass(slots=True)
class Spend(Write):
    """Count the tokens of a run; about no thread.

    Not undone with the run, and counted twice if the answer is lost on the way: on the safe side.
    """

    owner: str
    windows: Sequence[Window]
    tokens: int
    key: str = ""


@dataclass(slots=True)
class Release(Write):
    """Give a thread back as if the run had never been claimed."""

    key: str
    thread: int
    run: int
    position: int
