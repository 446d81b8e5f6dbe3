"""Watching threads change: what live thread lists are told.

The store is the truth. Notices, of this process and by hints of others, say where to look sooner;
whoever watches looks every so often anyway, and is told the difference to what they were told. A
notice that is lost costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from copilotkit_django.background import spawn
from copilotkit_django.exceptions import StoreDown
from copilotkit_django.keys import digest_of
from copilotkit_django.notices import thread_changes
from copilotkit_django.runners.hints import reach_others
from copilotkit_django.runners.threads import Changes, GoneThread, ThreadRecord, ThreadState

if TYPE_CHECKING:
    from copilotkit_django.runners.base import AgentRunner

logger = logging.getLogger("copilotkit.watch")

#: All watched scopes are looked at so often where other processes cannot tell of changes, and
#: where they can.
POLL_SECONDS = 0.5
CHECK_SECONDS = 10.0

#: With many scopes less often: so many more seconds for each.
SECONDS_PER_SCOPE = 0.001

#: Each look goes back so far behind the one before: clocks differ between processes, and what
#: was written earlier may be committed later.
OVERLAP_SECONDS = 30.0

#: A watcher that has not taken so many changes is given up; it comes back and is told anew.
MAX_UNTAKEN = 5000


@dataclass(frozen=True, slots=True)
class ThreadChange:
    """A thread is not as it was. ``record`` is ``None`` where it was ``deleted``.

    ``operation`` is one of ``created``, ``renamed``, ``archived``, ``unarchived``, ``updated`` and
    ``deleted``; ``moment`` is in seconds since the epoch.
    """

    operation: str
    thread_id: str
    moment: float
    record: ThreadRecord | None = None


@dataclass(frozen=True, slots=True)
class RunActivity:
    """A run has begun or ended; ``event_type`` is that of the AG-UI event that says so."""

    thread_id: str
    agent_id: str
    run_id: str
    event_type: str


Told = list[ThreadChange | RunActivity]


class Overrun(Exception):
    """A watcher took nothing for too long."""


@dataclass(eq=False, slots=True)
class _Watcher:
    since: float
    #: It was told of changes before, on a connection that broke.
    is_back: bool
    #: It has not been told what has changed until now.
    is_new: bool = True
    untaken: Told = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, told: Iterable[ThreadChange | RunActivity]) -> None:
        if len(self.untaken) <= MAX_UNTAKEN:
            self.untaken.extend(told)
        self.news.set()


@dataclass(slots=True)
class _Scope:
    """A scope that is watched, and what of it was told already."""

    checked: float
    watchers: set[_Watcher] = field(default_factory=set)
    seen: dict[str, ThreadState] = field(default_factory=dict)
    gone: set[GoneThread] = field(default_factory=set)
    #: What notices said was done, by thread key.
    done: dict[str, str] = field(default_factory=dict)


class _Loop:
    """What is watched on one event loop."""

    def __init__(self) -> None:
        self.scopes: dict[str, _Scope] = {}
        self.names: dict[str, str] = {}
        self.dirty: set[str] = set()
        self.wake = asyncio.Event()
        self.looking: asyncio.Task[None] | None = None

    def on_news(self, news: list[str]) -> None:
        for each in news:
            scope_key, key, operation = each.split(":")
            name = self.names.get(scope_key)
            if name is not None:
                if operation:
                    self.scopes[name].done[key] = operation
                self.dirty.add(name)
                self.wake.set()


class ThreadWatch:
    """Tells of the changes to the threads of a runner, scope by scope."""

    def __init__(self, runner: AgentRunner) -> None:
        # The runner holds this.
        self._runner = weakref.ref(runner)
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}

    async def follow(
        self, scope: str, *, since: float, is_back: bool = False
    ) -> AsyncIterator[Told]:
        """What changes in a scope, as it happens; first of all what has since a moment.

        ``since`` is in seconds since the epoch. With ``is_back`` that also tells of runs that have
        ended since. Goes on for ever. Raises `Overrun` if what it tells is not taken.
        """
        loop = asyncio.get_running_loop()
        for closed in [other for other in self._loops if other.is_closed()]:
            del self._loops[closed]
        here = self._loops.setdefault(loop, _Loop())
        name = scope
        watched = here.scopes.get(name)
        if watched is None:
            watched = here.scopes[name] = _Scope(checked=time.time())
            here.names[digest_of(name)] = name
        watcher = _Watcher(since, is_back)
        watched.watchers.add(watcher)
        here.dirty.add(name)
        here.wake.set()
        if here.looking is None or here.looking.done():
            here.looking = spawn(self._look(here))
        try:
            while True:
                await watcher.news.wait()
                watcher.news.clear()
                if len(watcher.untaken) > MAX_UNTAKEN:
                    raise Overrun
                told, watcher.untaken = watcher.untaken, []
                yield told
        finally:
            watched.watchers.discard(watcher)
            if not watched.watchers and here.scopes.get(name) is watched:
                del here.scopes[name]
                here.names.pop(digest_of(name), None)
                # Whoever looks ends with the last of them.
                here.wake.set()

    async def _look(self, here: _Loop) -> None:
        thread_changes.listen(here.on_news)
        try:
            await self._look_on(here)
        finally:
            thread_changes.forget(here.on_news)

    async def _look_on(self, here: _Loop) -> None:
        loop = asyncio.get_running_loop()
        next_check = loop.time() + self._pause(here)
        while here.scopes:
            here.wake.clear()
            if loop.time() >= next_check:
                here.dirty.update(here.scopes)
                next_check = loop.time() + self._pause(here)
            names = [name for name in here.dirty if name in here.scopes]
            here.dirty.clear()
            if names:
                try:
                    await self._check(here, names)
                except Exception as error:
                    if not isinstance(error, StoreDown):
                        logger.exception("Looking for changes failed; it is tried again.")
                    here.dirty.update(names)
                    await asyncio.sleep(POLL_SECONDS)
                    continue
            try:
                async with asyncio.timeout(max(0.0, next_check - loop.time())):
                    await here.wake.wait()
            except TimeoutError:
                pass

    def _pause(self, here: _Loop) -> float:
        runner = self._runner()
        if runner is None or runner.threads is None or not runner.threads.is_shared:
            return CHECK_SECONDS
        pause = CHECK_SECONDS if reach_others() else POLL_SECONDS
        return pause + SECONDS_PER_SCOPE * len(here.scopes)

    async def _check(self, here: _Loop, names: list[str]) -> None:
        runner = self._runner()
        if runner is None or runner.threads is None:
            return
        now = time.time()
        usual, first = {}, {}
        # Who comes while the store is asked has to wait for the next time.
        asked: dict[str, list[_Watcher]] = {}
        for name in names:
            watched = here.scopes[name]
            newcomers = asked[name] = [each for each in watched.watchers if each.is_new]
            usual[name] = watched.checked - OVERLAP_SECONDS
            if newcomers:
                # Asked apart: they may want to know of hours.
                first[name] = min([usual.pop(name), *(each.since for each in newcomers)])
        found = [await runner.threads.changes(each) for each in (usual, first) if each]
        for name in names:
            watched_now = here.scopes.get(name)
            if watched_now is not None:
                _tell(watched_now, asked[name], _of_scope(found, name), now)
                watched_now.checked = now


def _of_scope(found: Iterable[Changes], scope: str) -> Changes:
    threads = [state for each in found for state in each.threads if state.scope == scope]
    threads.sort(key=lambda state: state.record.updated)
    gone = [each for some in found for each in some.gone if each.scope == scope]
    return Changes(threads, sorted(gone, key=lambda each: each.moment))


def _tell(watched: _Scope, newcomers: list[_Watcher], changes: Changes, now: float) -> None:
    """Tell each watcher what they do not know yet, and remember what they were told."""
    older = [each for each in watched.watchers if not each.is_new]
    news: Told = []
    for each in changes.gone:
        if each not in watched.gone:
            watched.gone.add(each)
            news.append(ThreadChange("deleted", each.thread_id, each.moment))
    horizon = watched.checked - OVERLAP_SECONDS
    for state in changes.threads:
        if state.record.updated < horizon:
            # Only newcomers have asked so far back.
            continue
        before = watched.seen.get(state.key)
        if state != before:
            news += _news(before, state, watched.done.pop(state.key, ""), horizon)
            watched.seen[state.key] = state
    if news:
        for watcher in older:
            watcher.tell(news)
    for watcher in newcomers:
        watcher.is_new = False
        first = list(_first_news(watcher, changes))
        if first:
            watcher.tell(first)
    _forget(watched, now)


def _news(
    before: ThreadState | None, state: ThreadState, done: str, horizon: float
) -> Iterator[ThreadChange | RunActivity]:
    yield _change(before, state, done)
    if before is None:
        # Whether a run has just ended or only the name changed, the time of its end tells.
        if state.is_running or state.record.last_run >= horizon:
            yield _activity(state)
    elif state.position > before.position or (before.is_running and not state.is_running):
        yield _activity(state)


def _first_news(watcher: _Watcher, changes: Changes) -> Iterator[ThreadChange | RunActivity]:
    for gone in changes.gone:
        if gone.moment >= watcher.since:
            yield ThreadChange("deleted", gone.thread_id, gone.moment)
    for state in changes.threads:
        if state.record.updated >= watcher.since:
            yield _change(None, state, "")
            has_ended = not state.is_running and state.record.last_run >= watcher.since
            if state.is_running or (watcher.is_back and has_ended):
                yield _activity(state)


def _change(before: ThreadState | None, state: ThreadState, done: str) -> ThreadChange:
    record = state.record
    if record.archived:
        operation = "archived"
    elif before is not None and before.record.archived:
        operation = "unarchived"
    elif before is not None and before.record.name != record.name:
        operation = "renamed"
    else:
        operation = done or "updated"
    return ThreadChange(operation, record.thread_id, record.updated, record)


def _activity(state: ThreadState) -> RunActivity:
    if state.is_running:
        event_type = "RUN_STARTED"
    else:
        event_type = "RUN_ERROR" if state.has_failed else "RUN_FINISHED"
    record = state.record
    return RunActivity(record.thread_id, record.agent_id, state.run_id, event_type)


def _forget(watched: _Scope, now: float) -> None:
    """Keep only what the next looks may find again."""
    horizon = now - 2 * OVERLAP_SECONDS
    for key, state in list(watched.seen.items()):
        if state.record.updated < horizon and not state.is_running:
            del watched.seen[key]
    watched.gone = {each for each in watched.gone if each.moment >= horizon}
    if len(watched.done) > MAX_UNTAKEN:
        watched.done.clear()
