"""The owner task of a run: drives one agent, fills one log, sees to one clean end."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from copilotkit_django.agents.base import RunContext
from copilotkit_django.background import spawn
from copilotkit_django.events.order import OrderError
from copilotkit_django.events.pipeline import Pipeline
from copilotkit_django.events.shapes import Wrong
from copilotkit_django.events.tables import usage
from copilotkit_django.events.wire import InvalidEvent, encode
from copilotkit_django.incidents import scrub
from copilotkit_django.runners.announcements import Announcements
from copilotkit_django.runners.base import RunRequest, ThreadRef
from copilotkit_django.runners.history import RunRecord, message_ids
from copilotkit_django.runners.log import RunLog
from copilotkit_django.signals import run_finished, run_started, run_stopped, thread_created
from copilotkit_django.workers import worker_thread

if TYPE_CHECKING:
    from copilotkit_django.runners.base import AgentRunner

logger = logging.getLogger("copilotkit.run")

#: An agent that never waits gives the loop a turn after so many events.
EVENTS_PER_TURN = 64

#: What a run that was ended from outside says of itself.
INTERRUPTED = "The run was interrupted."

#: What a run says of itself that took or sent more than MAX_RUN_SECONDS and the like allow.
TIMEOUT = "The run took longer than it may."
TOO_LARGE = "The run sent more than it may."


class RunTask:
    """One run: its agent, its pipeline, its log, and the task that drives them.

    ``runner`` is who owns the run, for signals and the log; without one the run is told to nobody.
    ``seen`` tells which message ids the thread knows already: they are left out of the echo.
    ``memory_key`` is what agents know the thread by, if that is not the key of the thread.
    ``on_end`` is awaited once, when everything but the terminal event has been sent: store the run,
    free the thread. The terminal event follows, then the log is closed. Create and `start` it on
    the loop it shall live on.
    """

    def __init__(
        self,
        request: RunRequest,
        *,
        runner: AgentRunner | None = None,
        seen: Callable[[str], bool] = lambda message_id: False,
        on_end: Callable[[RunTask], Awaitable[None]] | None = None,
        echo: bool = True,
        log: RunLog | None = None,
        memory_key: str | None = None,
    ) -> None:
        self.request = request
        self.log = RunLog() if log is None else log
        #: The run is finalised: nothing the agent still does counts.
        self.over = False
        #: The agent failed before it had anything to say.
        self.failed_silently = False
        #: What went wrong, as the client is told; ``None`` if nothing did.
        self.error: str | None = None
        #: It is the first run on its thread, or has taken the place of that one.
        self.is_first = False
        self._on_end = on_end
        self._runner = runner
        thread_key = request.thread.key if memory_key is None else memory_key
        self.announcements = Announcements(runner, request, thread_key)
        self._began = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        #: Done when there is nothing more to come: stored, sent, closed.
        self._ended: asyncio.Future[None] = self._loop.create_future()
        #: What the error of a cancelled run says.
        self._verdict = (INTERRUPTED, "INCOMPLETE_STREAM")
        run_input = request.input
        self.pipeline = Pipeline(
            self.log.append,
            settle=self.log.flush,
            thread_id=run_input.thread_id,
            run_id=run_input.run_id,
            echo=_echo(run_input.to_wire(), seen) if echo else None,
            initial_state=run_input.state,
            modern=run_input.protocol_version is not None,
        )
        self.context = RunContext(
            input=run_input.for_agent(),
            agent_id=request.agent_id,
            user=request.user,
            scope=request.thread.scope,
            thread_key=thread_key,
            headers=request.headers,
            request_context=request.request_context,
            expose_errors=request.policy.expose_errors,
            purpose=request.purpose,
        )

    def begins_thread(self) -> None:
        """Say that the thread has begun with this run, which names it when it is over."""
        self.is_first = True
        self.announcements.send(thread_created)

    def supersede(self, before: RunTask) -> None:
        """Take the place of a live run on the same thread, which is stopped."""
        # No run that is kept has been there before: this is the one to name the thread.
        self.is_first = self.is_first or before.is_first
        before.stop()

    def start(self) -> None:
        """Begin to drive the agent. Returns at once."""
        limit = self.request.policy.max_seconds
        if limit is not None:
            self._timer = self._loop.call_later(limit, self._time_out)
        if self.request.slot is not None:
            self.request.slot.use()
        self.announcements.send(run_started)
        self._task = spawn(self._run())
        self._task.add_done_callback(self._driven)

    @cached_property
    def id(self) -> str:
        """Names this run among all others; a ``run_id`` is only what its client calls it."""
        return uuid4().hex

    @property
    def run_id(self) -> str:
        """The run id its client gave it."""
        return self.request.input.run_id

    def is_of(self, request: RunRequest) -> bool:
        """Whether this is the run that this very request, sent before, has started."""
        mine = self.request
        return bool(request.digest) and (mine.input.run_id, mine.digest) == (
            request.input.run_id,
            request.digest,
        )

    @property
    def outcome(self) -> str:
        """What became of a run that is over: ``finished``, ``stopped`` or ``failed``."""
        if self.error is not None or self.pipeline.ended_with == "RUN_ERROR":
            return "failed"
        return "stopped" if self.stopping else "finished"

    def record(self) -> RunRecord:
        """The run as it is to be kept. Call it once, in ``on_end``."""
        compacted = self.pipeline.compacted()
        return RunRecord(
            id=self.id,
            events=[encode(event) for event in compacted],
            message_ids=frozenset(message_ids(compacted)),
            modern=self.request.input.protocol_version is not None,
        )

    @property
    def stopping(self) -> bool:
        """The run was asked to stop and may still be winding down."""
        return self.context.stop.is_set()

    def stop(self) -> bool:
        """Ask the run to stop. False if it is over or was asked before.

        The agent learns of it twice: its stop signal is set and its coroutine is cancelled. After
        the grace the run is ended without it. May be called from any thread.
        """
        if self.over or self.stopping or self._task is None:
            return False
        if _running_loop() is self._loop:
            self._stop()
        else:
            self._loop.call_soon_threadsafe(self._stop)
        return True

    def move(self, thread: ThreadRef, user: Any) -> None:
        """The thread of the run belongs to somebody else now, and so says what is told of the run.

        The agent goes on as what it was started as: for whom, and with what rights. Belongs to the
        loop of the run.
        """
        self.request.thread = thread
        if user is not None:
            self.request.user = user

    def _stop(self) -> None:
        if self.over or self.stopping or self._task is None:
            return
        self.context.stop.set()
        self.announcements.send(run_stopped)
        self._task.cancel()
        self._loop.call_later(self.request.policy.stop_grace, self._abandon)

    def cancel(self, message: str = INTERRUPTED, code: str = "INCOMPLETE_STREAM") -> None:
        """End the run with an error, not as stopped: nobody waits for it, or it cannot go on.

        ``message`` and ``code`` are those of its ``RUN_ERROR``. Belongs to the loop of the run.
        """
        # A run that is over may be busy storing itself.
        if self._task is None or self.over:
            return
        self._verdict = (message, code)
        self._task.cancel()
        self._loop.call_later(self.request.policy.stop_grace, self._abandon)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop the run lives on."""
        return self._loop

    async def wait(self, timeout: float) -> bool:
        """Wait until the run is stored, closed and told of; false if that takes longer."""
        await asyncio.wait({self._ended}, timeout=timeout)
        return self._ended.done()

    async def _run(self) -> None:
        message: str | None = None
        expose = self.request.policy.expose_errors
        try:
            async with worker_thread():
                await self._drive()
        except asyncio.CancelledError:
            if not self.stopping:
                message = self._verdict[0]
        except (InvalidEvent, OrderError) as error:
            message = str(error)
            logger.warning("Agent %r broke the protocol: %s", self.request.agent_id, error)
        except (Exception, SystemExit) as error:
            # An agent that leaves by sys.exit() ends its run, not the server.
            message = scrub(error, expose=expose)
        await self._end(message)

    async def _drive(self) -> None:
        feed = self.pipeline.feed
        policy, log = self.request.policy, self.log
        most_events, most_bytes = policy.max_events or math.inf, policy.max_bytes or math.inf
        events = self.request.agent.run(self.context)
        count = 0
        try:
            async for event in events:
                if self.over:
                    return
                feed(event)
                if len(log.events) > most_events or log.size > most_bytes:
                    self._break_off()
                    await asyncio.sleep(0)
                count += 1
                if count % EVENTS_PER_TURN == 0:
                    await self._turn()
        finally:
            # Closed here, inside the task that drove it: frameworks keep context variables that
            # cannot be reset from anywhere else.
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    def _break_off(self) -> None:
        logger.warning("Agent %r sends more than a run may; it is ended.", self.request.agent_id)
        self.cancel(TOO_LARGE, "RUN_TOO_LARGE")

    def _time_out(self) -> None:
        logger.warning("Agent %r takes longer than a run may; it is ended.", self.request.agent_id)
        self.cancel(TIMEOUT, "RUN_TIMEOUT")

    async def _turn(self) -> None:
        try:
            await self.log.ready()
        except asyncio.CancelledError:
            # A stop is meant for the agent, not for this pause: it may want to say a last word.
            # It is delivered again where the agent waits next. Nobody would hear the last word of
            # a run that is cancelled, and an agent that never waits would go on for good.
            task = asyncio.current_task()
            if task is None or self.over or not self.stopping:
                raise
            task.cancel()

    def _driven(self, task: asyncio.Task[None]) -> None:
        # A task cancelled before its first step never enters its own handlers.
        if not self.over and not self._loop.is_closed():
            spawn(self._end(None if self.stopping else self._verdict[0]))

    def _abandon(self) -> None:
        if self.over or self._task is None:
            return
        logger.warning(
            "Agent %r did not stop within %s s; its run was ended without it.",
            self.request.agent_id,
            self.request.policy.stop_grace,
        )
        self._task.cancel()
        spawn(self._end(None if self.stopping else self._verdict[0]))

    async def _end(self, message: str | None) -> None:
        if self.over:
            return
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        self.error = message
        self.failed_silently = message is not None and self.pipeline.count == 0
        try:
            try:
                self.pipeline.finish(stopped=self.stopping, message=message, code=self._verdict[1])
            except Exception as error:
                # The thread has to come free even if the run cannot be ended in style.
                scrub(error, expose=False)
            if not self.pipeline.usage:
                # Ended before it could report it.
                self.pipeline.usage = self._usage_so_far()
            if self.request.account is None:
                await self._store()
            else:
                # Side by side, so that a store can keep both in one go.
                charged = self.request.account.charge(self.pipeline.usage)
                await asyncio.gather(charged, self._store())
        except Exception as error:
            scrub(error, expose=False)
        finally:
            # Before the last event: the client's next run may arrive a millisecond later.
            if self.request.slot is not None:
                self.request.slot.release()
            self.pipeline.release()
            self.log.close()
            if self._runner is not None:
                self._runner.names.consider(self)
            try:
                await self._tell()
            finally:
                self._ended.set_result(None)

    def _usage_so_far(self) -> list[dict[str, Any]]:
        """What the agent has put into its context; nothing where that is no usage."""
        try:
            return list(usage(self.context.usage))
        except Wrong as error:
            logger.warning(
                "What agent %r says it has used is left out: usage%s %s.",
                self.request.agent_id,
                error.path,
                error.problem,
            )
            return []

    async def _store(self) -> None:
        if self._on_end is not None:
            await self._on_end(self)

    async def _tell(self) -> None:
        outcome, used = self.outcome, self.pipeline.usage
        duration = time.monotonic() - self._began
        self.announcements.log_end(outcome, duration, used)
        self.announcements.send(run_finished, outcome=outcome, duration=duration, usage=used)
        await self.announcements.heard()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _echo(wire: Mapping[str, Any], seen: Callable[[str], bool]) -> dict[str, Any]:
    """The run input for ``RUN_STARTED.input``: only messages the thread does not have yet."""
    return {**wire, "messages": [m for m in wire["messages"] if not seen(m["id"])]}
