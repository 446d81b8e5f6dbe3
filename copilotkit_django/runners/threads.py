"""The contract of a runner that keeps threads: what the ``/threads`` routes work on."""

from __future__ import annotations

import abc
import builtins
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    @abc.abstractmethod
    async def delete(self, thread: ThreadRef) -> bool:
        """Stop a thread's live run and forget the thread; false if there is no such thread."""

    @abc.abstractmethod
    async def clear(self, scope: str) -> None:
        """Stop the live runs of a scope and forget its threads."""
