"""The contract of a runner that keeps threads: what the ``/threads`` routes work on."""

from __future__ import annotations

import abc
import builtins
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from copilotkit_django.runners.log import Batch

if TYPE_CHECKING:
    from copilotkit_django.runners.base import ThreadRef


@dataclass(slots=True)
class ThreadRecord:
    """A thread as a list of threads shows it. Times are seconds since the epoch.

    ``agent_id`` is the agent of the last run, ``last_run`` the end of it, ``updated`` the last
    change of any kind.
    """

    thread_id: str
    agent_id: str
    created: float
    updated: float
    last_run: float
    name: str | None = None
    archived: bool = False


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """Which threads a list shall show: the latest run first, at most ``limit`` of them.

    ``after`` is the place of the last thread of the page before, its ``(last_run, thread_id)``:
    a thread that comes or goes meanwhile moves no other from one page to the next.
    """

    agent_id: str | None = None
    include_archived: bool = False
    limit: int | None = None
    after: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True)
class MovedThread:
    """A thread that belongs to another scope now: how it was named, and how it is."""

    before: ThreadRef
    after: ThreadRef


@dataclass(frozen=True, slots=True)
class ThreadState:
    """A thread as it is now, and its last run."""

    scope: str
    record: ThreadRecord
    #: Among all scopes, as `ThreadRef.key`.
    key: str
    #: Rises with each run.
    position: int
    run_id: str
    #: The last run is live.
    is_running: bool = False
    #: It ended with an error.
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class GoneThread:
    """A thread a scope does not have any more, and since when, in seconds since the epoch."""

    scope: str
    thread_id: str
    moment: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What has become of the threads of some scopes: as they are now, and those that are gone.

    Threads whose first run is live are among them: who watches a list is to see it begin.
    """

    threads: Sequence[ThreadState] = ()
    gone: Sequence[GoneThread] = ()


class ThreadStore(abc.ABC):
    """What a runner that keeps threads offers beside running. All within the scopes it is given.

    A thread of another scope is, to every method, one that does not exist.
    """

    @abc.abstractmethod
    async def list(self, scope: str, query: ThreadQuery) -> builtins.list[ThreadRecord]:
        """The threads of a scope that have a finished run."""

    @abc.abstractmethod
    async def events(self, thread: ThreadRef) -> AsyncIterator[Batch]:
        """A reader of the stored, compacted events of a thread, without those of a live run."""

    @abc.abstractmethod
    async def update(
        self, thread: ThreadRef, *, name: str | None = None, archived: bool | None = None
    ) -> ThreadRecord | None:
        """Rename a thread, archive or restore it (``None``: leave as it is).

        Returns the thread as it is now, or ``None`` if there is no such thread.
        """

    async def name(self, thread: ThreadRef, name: str) -> bool:
        """Name a thread that has no name; false if it has one, or there is no such thread.

        What the user calls a thread must win over it, whenever they do. A store that does not
        override this has no threads named by THREAD_NAMES.
        """
        return False

    @abc.abstractmethod
    async def delete(self, thread: ThreadRef) -> bool:
        """Stop a thread's live run and forget the thread; false if there is no such thread."""

    @abc.abstractmethod
    async def clear(self, scope: str) -> None:
        """Stop the live runs of a scope and forget its threads."""

    async def move(self, scope: str, to: str, *, user: Any = None) -> builtins.list[MovedThread]:
        """Give all threads of a scope to another one, of a user or not, or none of them.

        A thread whose id the other scope uses already is given a new one. Live runs go on, under
        the new names. A store that does not override this leaves the threads where they are.
        """
        return []

    #: Whether `changes` is there: live thread lists need it.
    tells_changes = False

    #: Other processes may change threads, so that somebody has to look for it.
    is_shared = False

    async def changes(self, since: Mapping[str, float]) -> Changes:
        """What has changed in each scope since a moment in seconds since the epoch.

        Of too many changes to one the latest.
        """
        return Changes()
