"""The persistent runner: threads and runs in the database, for any number of processes."""

from __future__ import annotations

import asyncio
import atexit
import functools
import itertools
import logging
import secrets
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ParamSpec, Self, TypeVar

from django.db import Error, router

from copilotkit_django import notices
from copilotkit_django.background import spawn
from copilotkit_django.conf import Options
from copilotkit_django.exceptions import StoreDown, ThreadBusy
from copilotkit_django.models import Run
from copilotkit_django.runners.base import AgentRunner, RunRequest, ThreadRef
from copilotkit_django.runners.database_threads import DatabaseThreads, is_owner
from copilotkit_django.runners.database_tokens import DatabaseTokens
from copilotkit_django.runners.followers import Followers
from copilotkit_django.runners.hints import Hints
from copilotkit_django.runners.history import message_ids, stored_input
from copilotkit_django.runners.leases import STORE_MESSAGE, Leases, log_of
from copilotkit_django.runners.live import DurableLog
from copilotkit_django.runners.log import Batch, Cursor
from copilotkit_django.runners.reader_threads import ReaderThreads
from copilotkit_django.runners.reading import Replay
from copilotkit_django.runners.recovery import TAKEN_MESSAGE, reap
from copilotkit_django.runners.store import Store, lines
from copilotkit_django.runners.task import RunTask
from copilotkit_django.runners.upkeep import Upkeep
from copilotkit_django.runners.writer import GroupWriter, StoreUnavailable
from copilotkit_django.runners.writes import (
    Again,
    Busy,
    Claim,
    Claimed,
    Expired,
    Finish,
    Gone,
    Release,
    Status,
)

logger = logging.getLogger("copilotkit.run")

T = TypeVar("T")
P = ParamSpec("P")

#: A claim waits so long for the store; then the caller is told to come back.
CLAIM_SECONDS = 4.0

#: How long after its end a run is still given to whoever sends the same request again.
RESEND_SECONDS = 60.0

#: Threads whose owner is gone are looked up so many at a time.
REAP_AT_ONCE = 1000

#: A process that ends without a drain waits so long for what is still to be written.
LET_GO_SECONDS = 1.0

#: Drain waits so long for agents to take note of the end.
DRAIN_SECONDS = 3.0


#: Runners made for endpoints, by class, options and database.
_shared: weakref.WeakValueDictionary[Any, DatabaseRunner] = weakref.WeakValueDictionary()


#: Runners of this process that may hold threads.
_in_use: weakref.WeakSet[DatabaseRunner] = weakref.WeakSet()


@atexit.register
def _let_go() -> None:
    """Let others take over what a process holds that ends without a drain.

    The development server does so with every change of the code.
    """
    for runner in list(_in_use):
        try:
            runner.let_go()
        except Exception as error:
            logger.debug("The leases of an ending process run out by themselves: %r", error)


class DatabaseRunner(AgentRunner):
    """Keeps threads and runs in the database; any process of the site can go on with them.

    A run is owned by the process that accepted it, under a lease of ``lease_seconds``; if the
    process dies, whoever meets the thread after that ends the run for it. What agents yield is
    written in groups, some 20 ms behind the stream; the messages of the user are stored before the
    agent starts, tool results at once, and the end of a run before anybody is told of it.
    Processes that follow runs of others read the database, woken by hints over the channel layer
    if there is one and by polling otherwise.

    ``resume_seconds``: how long the raw events of an ended run are kept. ``outage_seconds``: a run
    whose events cannot be stored for so long is ended. One thread writes and two read, each with
    a connection of its own; open streams hold none.
    """

    def __init__(
        self,
        *,
        lease_seconds: float = 15.0,
        resume_seconds: float = 600.0,
        outage_seconds: float = 10.0,
        using: str | None = None,
    ) -> None:
        self.lease_seconds = lease_seconds
        self.resume_seconds = resume_seconds
        self.outage_seconds = outage_seconds
        self.store = Store(using or router.db_for_write(Run))
        self.leases = Leases(self.store, secrets.token_hex(16), lease_seconds)
        self.threads: DatabaseThreads = DatabaseThreads(self)
        self.tokens = DatabaseTokens(self)
        self.writer = GroupWriter(
            self.store,
            period=lease_seconds / 3,
            every=self.leases.renew,
            on_written=self._announce,
        )
        self.hints = Hints(on_data=self._on_data, on_stop=self._on_stop, on_notice=notices.deliver)
        self.followers = Followers(self)
        self.upkeep = Upkeep(self)
        self._readers = ReaderThreads(self.store)
        #: Numbers the claims of this process.
        self._claims = itertools.count()
        self.is_closed = False
        _in_use.add(self)

    @classmethod
    def from_options(cls, options: Options) -> Self:
        """The runner for these options; endpoints with the same ones share it and its threads."""
        lease, resume = options.lease_seconds, options.resume_seconds
        outage = options.store_outage_seconds
        key = (cls, lease, resume, outage, router.db_for_write(Run))
        runner = _shared.get(key)
        if not isinstance(runner, cls) or runner.is_closed:
            runner = cls(lease_seconds=lease, resume_seconds=resume, outage_seconds=outage)
            _shared[key] = runner
        return runner

    # -- the contract ---------------------------------------------------------------------------

    async def run(self, request: RunRequest) -> AsyncIterator[Batch]:
        self._look_after()
        # Shielded: a claim whose caller has left in the middle would hold the thread for nobody.
        return await asyncio.shield(spawn(self._start(request)))

    async def _start(self, request: RunRequest) -> AsyncIterator[Batch]:
        key = request.thread.key
        for _ in range(3):
            if self.is_closed:
                raise StoreDown
            token = f"{self.leases.holder[:16]}{next(self._claims):016x}"
            claim = self._claim(request, key, token)
            with self.leases.claiming(key):
                try:
                    answer = await self.writer.do(claim, timeout=CLAIM_SECONDS)
                except StoreUnavailable:
                    raise StoreDown from None
                if isinstance(answer, Claimed):
                    return self._own(request, key, answer)
            if isinstance(answer, Again):
                return await self._again(key, answer, request)
            if isinstance(answer, Busy):
                raise ThreadBusy
            if isinstance(answer, Expired):
                await self.reap(key)
        raise StoreDown

    def _claim(self, request: RunRequest, key: str, token: str) -> Claim:
        run_input = request.input
        user = request.user
        return Claim(
            ref=request.thread,
            key=key,
            user=user if is_owner(user, request.thread.scope) else None,
            agent_id=request.agent_id,
            run_id=run_input.run_id,
            digest=request.digest.hex(),
            token=token,
            holder=self.leases.holder,
            lease_ms=int(self.lease_seconds * 1000),
            modern=run_input.protocol_version is not None,
            supersede=request.policy.supersede,
            message_ids=[message["id"] for message in run_input.messages],
            stored_input=lambda seen: stored_input(run_input, seen),
            resend_seconds=RESEND_SECONDS if request.digest else 0,
        )

    def _own(self, request: RunRequest, key: str, claimed: Claimed) -> AsyncIterator[Batch]:
        log = DurableLog(
            self.writer,
            key=key,
            thread=claimed.thread,
            run=claimed.run,
            position=claimed.position,
            on_lost=self.leases.lose,
        )
        task = RunTask(
            request,
            runner=self,
            seen=claimed.seen.__contains__,
            on_end=self._ended,
            log=log,
            memory_key=claimed.memory_key or None,
        )
        if claimed.position == 1:
            task.begins_thread()
        self.leases.own(task)
        task.start()
        self.changed(request.thread, "created" if claimed.position == 1 else "")
        return log.read(idle=request.policy.idle)

    async def _again(self, key: str, answer: Again, request: RunRequest) -> AsyncIterator[Batch]:
        idle = request.policy.idle
        task = self.leases.local(key)
        if task is not None and log_of(task).run == answer.run:
            return task.log.read(idle=idle)
        run = await self.read(self.store.run, answer.run)
        if run is None:
            return _nothing()
        return Replay(self, request.input.protocol_version is not None, idle).run(run)

    async def _ended(self, task: RunTask) -> None:
        log = log_of(task)
        try:
            if log.abandoned:
                return
            if task.failed_silently:
                await self.writer.do(
                    Release(log.key, log.thread, log.run, log.position),
                    timeout=self.outage_seconds,
                )
                return
            compacted = task.pipeline.compacted()
            tail = log.tail(task.pipeline.held)
            finish = Finish(
                key=log.key,
                thread=log.thread,
                run=log.run,
                position=log.position,
                agent_id=task.request.agent_id,
                status=_status(task),
                error=task.error or "",
                usage=task.pipeline.usage or None,
                event_count=len(log.events) + (task.pipeline.held is not None),
                compacted=lines(compacted),
                message_ids=list(message_ids(compacted)),
                tail=tail,
            )
            answer = await self.writer.do(finish, timeout=self.outage_seconds)
            if isinstance(answer, Gone):
                self.leases.give_up(log)
                task.error = TAKEN_MESSAGE
                task.pipeline.held = lines([_error(TAKEN_MESSAGE, "THREAD_TAKEN")])
        except Exception as error:
            # Whatever it was: a lease that went on being renewed would keep the thread for good.
            logger.error("The end of a run could not be stored.", exc_info=error)
            self.leases.give_up(log)
            task.error = STORE_MESSAGE
            task.pipeline.held = lines([_error(STORE_MESSAGE, "STORE_UNAVAILABLE")])
        finally:
            self.leases.end(task)
            self.hints.data([log.run])
            self.changed(task.request.thread)

    async def connect(
        self,
        thread: ThreadRef,
        *,
        idle: float | None = None,
        modern: bool = False,
        after: Cursor | None = None,
    ) -> AsyncIterator[Batch]:
        self._look_after()
        key = thread.key
        # Looked up before the rows are read: a run that ends in between is in one or the other.
        task = self.leases.local(key)
        head = await self.read(self.store.head, key)
        if head is None:
            return _nothing()
        if head.is_expired:
            await self.reap(key)
        log = None if task is None else log_of(task)
        # By its thread, not by the key: it may have changed hands elsewhere a moment ago.
        is_last = log is not None and (log.thread, log.position) == (head.pk, head.fence)
        live = log if is_last else None
        replay = Replay(self, modern, idle)
        if after is None:
            return replay.history(head, live)
        return replay.resume(head, live, after)

    async def stop(self, thread: ThreadRef, run_id: str | None = None) -> bool:
        self._look_after()
        local = self.leases.find(thread.key)
        if local is not None:
            if run_id is not None and local.run_id != run_id:
                return False
            return local.stop()
        key = thread.key
        holder = await self.write(self.store.request_stop, key, run_id)
        if holder is None:
            return False
        self.hints.stop(holder, key)
        return True

    async def is_running(self, thread: ThreadRef) -> bool:
        key = thread.key
        if self.leases.find(key) is not None:
            return True
        holder = await self.read(self.store.holder, key)
        return holder is not None

    def listen(self) -> None:
        self._look_after()

    def notify(self, name: str, news: Sequence[str]) -> None:
        super().notify(name, news)
        self.hints.notice(name, news)

    async def drain(self) -> None:
        # What ran on a loop that is no more has ended with it.
        live = [task for task in self.leases.live.values() if not task.loop.is_closed()]
        for task in live:
            task.loop.call_soon_threadsafe(task.cancel)
        if live:
            await asyncio.gather(*(task.wait(DRAIN_SECONDS) for task in live))
        self.names.cancel()
        self.upkeep.cancel()
        self.hints.close()
        await asyncio.to_thread(self.close)

    def let_go(self) -> None:
        """Write what waits and have all leases run out now: whoever is next ends the runs."""
        if self.leases.live and not self.is_closed:
            self.writer.close(LET_GO_SECONDS)
            self.leases.end_now()

    def close(self) -> None:
        """Write what waits, end the threads and close their connections. There is no way back."""
        if self.is_closed:
            return
        self.is_closed = True
        self.writer.close()
        self._readers.close()

    # -- for its parts --------------------------------------------------------------------------

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that reads on one of the reader threads. Raises `StoreDown`."""
        if self.is_closed:
            raise StoreDown
        return await self._readers.call(function, *args, **kwargs)

    async def write(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that writes on the writer's thread. Raises `StoreDown`."""
        if self.is_closed:
            raise StoreDown
        writing = functools.partial(function, *args, **kwargs)
        try:
            result: T = await self.writer.call(writing, timeout=CLAIM_SECONDS)
        except (StoreUnavailable, Error):
            raise StoreDown from None
        return result

    async def reap(self, key: str) -> bool:
        """End the run of a thread whose owner is gone; false if there was none."""
        task = self.leases.find(key)
        # One of ours that is alive has only been renewed too late, unless it was taken meanwhile.
        spare = None if task is None or log_of(task).abandoned else self.leases.holder
        run = await self.write(reap, self.store, key, spare=spare)
        if spare is not None:
            await self.write(self.leases.renew)
        if run is not None:
            logger.warning("Ended a run whose process is gone.")
            self.hints.data([run])
        return run is not None

    async def reap_all(self) -> int:
        """End all runs whose owners are gone; returns how many there were."""
        ended = 0
        while keys := await self.read(self.store.expired, REAP_AT_ONCE):
            now_ended = sum([await self.reap(key) for key in keys])
            ended += now_ended
            if len(keys) < REAP_AT_ONCE or not now_ended:
                break
        return ended

    async def sweep(self) -> None:
        """End runs whose process is gone, and drop raw events nobody will ask for any more."""
        await self.upkeep.sweep()

    def _look_after(self) -> None:
        if not self.is_closed:
            self.upkeep.start()
            self.hints.listen()

    def _announce(self, runs: list[int]) -> None:
        """Tell other processes of new events. Called on the writer's thread."""
        self.hints.data_from_thread(runs)

    def _on_data(self, runs: list[int]) -> None:
        self.followers.wake(runs)

    def _on_stop(self, holder: str, key: str) -> None:
        task = self.leases.find(key)
        if holder == self.leases.holder and task is not None:
            task.stop()


def _status(task: RunTask) -> Status:
    if task.pipeline.ended_with == "RUN_ERROR":
        return Status.FAILED
    return Status.STOPPED if task.stopping else Status.FINISHED


def _error(message: str, code: str) -> dict[str, Any]:
    return {"type": "RUN_ERROR", "message": message, "code": code}


async def _nothing() -> AsyncIterator[Batch]:
    nothing: list[Batch] = []
    for batch in nothing:
        yield batch
