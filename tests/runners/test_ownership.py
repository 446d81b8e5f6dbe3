"""Leases: who owns a run, and what becomes of it when the owner is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from copilotkit_django.exceptions import StoreDown, ThreadBusy
from copilotkit_django.models import Run, Segment, Thread
from copilotkit_django.runners.database import DatabaseRunner
from copilotkit_django.runners.leases import log_of
from copilotkit_django.runners.writes import Claim
from tests.acting import Parrot, Staged, delta, opening
from tests.talk import kinds, text_of, until, user_message, within

from .asking import (
    LONG,
    SUPERSEDE,
    everything,
    follow,
    history,
    request_for,
    run,
    runs_in,
    said,
    start,
    stored,
    thread,
)
from .stores import DATABASES

pytestmark = pytest.mark.parametrize("store", DATABASES, indirect=True)

#: What is left of a lease that nobody renews: short enough to be waited for.
SHORT = 0.6


async def freeze(runner: DatabaseRunner) -> None:
    """Have a process stand still: it looks after nothing, and its leases run out shortly.

    Until then they are long, so that a slow machine does not lose one before its time.
    """
    runner.writer._every = lambda: None
    runner.upkeep.cancel()
    await runner.write(runner.store.renew, runner.leases.holder, int(SHORT * 1000))


async def crash(runner: DatabaseRunner) -> None:
    """What is left of a process that is killed: leases nobody renews, runs nobody writes."""
    await freeze(runner)
    tasks = list(runner.leases.live.values())
    for task in tasks:
        log_of(task).abandon()
        runner.leases.end(task)
    for task in tasks:
        task.cancel()
        await task.wait(5)


async def written(runner: DatabaseRunner, thread_id: str = "t1") -> None:
    """Return once everything a live run has sent is committed."""
    log = log_of(runner.leases.find(thread(thread_id).key))
    await until(lambda: log.durable == len(log.events))


async def expired(runner: DatabaseRunner, thread_id: str = "t1") -> None:
    """Return once nobody alive holds the thread."""
    async with asyncio.timeout(5):
        while await runner.read(runner.store.holder, thread(thread_id).key):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def rows(runner, model, **where):
    found = model.objects.using(runner.store.alias).filter(**where).order_by("pk")
    return await runner.read(lambda: list(found))


class TestOwner:
    async def test_run__stored_before_the_agent_starts(self, runner):
        """When the agent takes its first step the run and what the user said are rows."""
        found = []

        async def agent(context):
            found.extend(await rows(runner, Run))
            yield context.started()
            yield context.finished()

        await run(runner, agent, "hello")

        (row,) = found
        assert (row.status, row.position, row.compacted) == (Run.Status.RUNNING, 1, None)
        assert [m["content"] for m in json.loads(bytes(row.input))["messages"]] == ["hello"]

    async def test_run__rows_of_an_ended_run(self, runner):
        """An ended run says how it went, and its thread is free."""
        await run(runner)

        (row,) = await rows(runner, Run)
        (of,) = await rows(runner, Thread)
        assert (row.status, row.event_count, row.error) == (Run.Status.FINISHED, 5, "")
        assert row.started_at <= row.ended_at == of.last_run_at == of.updated_at
        assert (of.holder, of.lease_expires, of.fence) == ("", 0, 1)
        assert sum(each.last - each.first + 1 for each in await rows(runner, Segment)) == 5

    async def test_run__tool_results_at_once(self, runner):
        """The result of a tool is not left to wait for company."""
        done, cue = asyncio.Event(), asyncio.Event()

        async def agent(context):
            yield context.started()
            call = {"toolCallId": "c"}
            yield {"type": "TOOL_CALL_START", "toolCallName": "t", **call}
            yield {"type": "TOOL_CALL_END", **call}
            yield {"type": "TOOL_CALL_RESULT", "messageId": "m", "content": "42", **call}
            done.set()
            await cue.wait()
            yield context.finished()

        live = await start(runner, agent)
        await within(done.wait())
        await written(runner)

        assert b'"42"' in b"".join(bytes(each.data) for each in await rows(runner, Segment))
        cue.set()
        await live

    async def test_renew__silent_agent(self, make_runner):
        """However long an agent is silent, its process keeps the thread."""
        runner, elsewhere = make_runner(lease_seconds=3), make_runner()
        agent = Staged()
        live = await start(runner, agent)
        await within(agent.waiting.wait())
        (row,) = await rows(runner, Thread)
        claimed_until = row.lease_expires

        async with asyncio.timeout(LONG):
            while time.time() * 1000 < claimed_until:
                assert await elsewhere.reap_all() == 0
                await asyncio.sleep(0.1)

        assert await elsewhere.reap_all() == 0
        agent.cue.set()
        assert kinds(await live)[-1] == "RUN_FINISHED"

    async def test_renew__blocked_loop(self, make_runner):
        """Nor does an event loop that is held up for longer than the lease lose it."""
        runner = make_runner(lease_seconds=SHORT)

        async def agent(context):
            for event in opening(context):
                yield event
            time.sleep(2 * SHORT)  # noqa: ASYNC251 - as a careless agent does
            yield {"type": "TEXT_MESSAGE_END", "messageId": f"{context.run_id}-m1"}
            yield context.finished()

        assert kinds(await run(runner, agent))[-1] == "RUN_FINISHED"


class TestLostOwner:
    @pytest.fixture
    async def lost(self, make_runner):
        """A thread whose owner was killed in the middle of its second run."""
        gone = make_runner(lease_seconds=LONG)
        await run(gone, run="r0", messages=[user_message("zero", "u0")])
        agent = Staged()
        messages = [user_message("zero", "u0"), user_message("one", "u1")]
        live = await start(gone, agent, run="r1", messages=messages)
        await within(agent.waiting.wait())
        await written(gone)
        await crash(gone)
        await live

    @staticmethod
    def assert_ended(events):
        assert runs_in(events)[:2] == ["r0", "r1"]
        assert said(events)[:2] == [["zero"], ["one"]]
        second = events[kinds(events).index("RUN_STARTED", 1) :]
        assert kinds(second)[:5] == [
            "RUN_STARTED",
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "RUN_ERROR",
        ]
        assert text_of(second[:5]) == "par"

    async def test_connect__after_the_lease(self, lost, make_runner):
        """A reader gets everything that was written, and an ending."""
        survivor = make_runner()
        await expired(survivor)

        self.assert_ended(await history(survivor))

        (_, row) = await rows(survivor, Run)
        assert (row.status, row.event_count, row.kept_count) == (Run.Status.LOST, 5, 3)
        assert not await survivor.is_running(thread())

    async def test_connect__within_the_lease(self, lost, make_runner):
        """A reader that comes sooner is followed through to the ending."""
        survivor = make_runner(lease_seconds=SHORT)

        self.assert_ended(await history(survivor))

    async def test_connect__follower_from_before(self, make_runner):
        """A reader that was there before gets the ending as well."""
        gone, survivor = make_runner(lease_seconds=LONG), make_runner(lease_seconds=SHORT)
        agent = Staged()
        live = await start(gone, agent)
        await within(agent.waiting.wait())
        follower = await follow(survivor)
        await written(gone)
        await crash(gone)
        await live

        events = await within(follower)

        assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
        assert text_of(events) == "par"

    async def test_run__next_run(self, lost, make_runner):
        """The next run succeeds, and the dead one stands closed before it."""
        survivor = make_runner()
        await expired(survivor)

        messages = [
            user_message("zero", "u0"),
            user_message("one", "u1"),
            user_message("two", "u2"),
        ]
        events = await run(survivor, run="r2", messages=messages)

        assert said(events) == [["two"]]
        everything_ = await history(survivor)
        self.assert_ended(everything_)
        assert runs_in(everything_) == ["r0", "r1", "r2"]

    async def test_run__superseding(self, lost, make_runner):
        """Whoever would supersede a dead run keeps it as well: nobody has replaced it."""
        survivor = make_runner()
        await expired(survivor)

        await run(survivor, run="r2", policy=SUPERSEDE)

        assert runs_in(await history(survivor)) == ["r0", "r1", "r2"]

    async def test_run__sent_again(self, make_runner):
        """The request of a dead run, sent again, is a run of its own."""
        gone, survivor = make_runner(lease_seconds=LONG), make_runner()
        agent = Staged()
        live = await start(gone, agent)
        await within(agent.waiting.wait())
        await crash(gone)
        await live
        await expired(survivor)

        events = await run(survivor, Parrot())

        assert kinds(events)[-1] in ("RUN_FINISHED", "RUN_ERROR")
        assert not await survivor.is_running(thread())

    async def test_sweep__dead_runs(self, lost, make_runner):
        """Without anybody asking, a process that is there ends it."""
        survivor = make_runner(lease_seconds=SHORT)
        await history(survivor, "some other thread")

        async def ended():
            while not (await rows(survivor, Run))[-1].ended_at:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

        await within(ended())
        self.assert_ended(await stored(survivor))

    async def test_stop__dead_run(self, lost, make_runner):
        """There is nobody left to stop."""
        survivor = make_runner()
        await expired(survivor)

        assert await survivor.stop(thread()) is False
        assert not await survivor.is_running(thread())

    async def test_reap__everybody_at_once(self, lost, make_runner):
        """However many meet it, it is ended once."""
        survivors = [make_runner() for _ in range(3)]
        await expired(survivors[0])

        reaped = await asyncio.gather(*(each.reap(thread().key) for each in survivors))

        assert reaped.count(True) == 1
        self.assert_ended(await history(survivors[0]))

    async def test_reap__before_the_first_event(self, make_runner):
        """A run that was lost before its first event keeps what the user said."""
        gone, survivor = make_runner(lease_seconds=LONG), make_runner()
        entered = asyncio.Event()

        async def agent(context):
            entered.set()
            await asyncio.sleep(60)
            yield context.started()

        live = await start(gone, agent, text="do not lose this")
        await within(entered.wait())
        await crash(gone)
        await live
        await expired(survivor)

        events = await history(survivor)

        assert kinds(events) == ["RUN_STARTED", "RUN_ERROR"]
        assert said(events) == [["do not lose this"]]
        messages = [user_message("do not lose this", "u-r1"), user_message("again", "u2")]
        assert said(await run(survivor, run="r2", messages=messages)) == [["again"]]

    async def test_reap__open_tool_call(self, make_runner):
        """What was open is closed, so that the agent's model accepts the history again."""
        gone, survivor = make_runner(lease_seconds=LONG), make_runner()
        entered = asyncio.Event()

        async def agent(context):
            yield context.started()
            yield {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "t"}
            yield {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": "{"}
            entered.set()
            await asyncio.sleep(60)

        live = await start(gone, agent)
        await within(entered.wait())
        await written(gone)
        await crash(gone)
        await live
        await expired(survivor)

        assert kinds(await history(survivor))[-3:] == [
            "TOOL_CALL_END",
            "TOOL_CALL_RESULT",
            "RUN_ERROR",
        ]

    async def test_reap__unreadable_events(self, lost, make_runner, caplog):
        """A run whose rows make no sense is ended without them; its thread is free."""
        survivor = make_runner()
        await expired(survivor)
        (_, row) = await rows(survivor, Run)
        segments = Segment.objects.using(survivor.store.alias).filter(run=row)
        await survivor.write(lambda: segments.update(data=b"{not json"))

        events = await history(survivor)

        assert runs_in(events) == ["r0", "r1"]
        assert said(events) == [["zero"], ["one"]]
        assert kinds(events)[-1] == "RUN_ERROR"
        assert runs_in(await run(survivor, run="r2")) == ["r2"]


class TestTakenRun:
    async def test_run__owner_comes_back(self, make_runner):
        """An owner that stood still for longer than its lease writes nothing more."""
        frozen, survivor = make_runner(lease_seconds=LONG), make_runner()
        agent = Staged()
        live = await start(frozen, agent, run="r1")
        await within(agent.waiting.wait())
        await written(frozen)
        every = frozen.writer._every
        await freeze(frozen)
        await expired(survivor)
        await run(survivor, run="r2")

        frozen.writer._every = every
        await frozen.write(every)
        agent.cue.set()
        events = await within(live)

        assert events[-1].get("code") == "THREAD_TAKEN"
        kept = await history(survivor)
        assert runs_in(kept) == ["r1", "r2"]
        assert kinds(kept).count("RUN_ERROR") == 1
        assert kinds(await run(frozen, run="r3"))[-1] == "RUN_FINISHED"

    async def test_run__owner_goes_on_talking(self, make_runner):
        """Its agent is told to stop as soon as it is noticed."""
        frozen, survivor = make_runner(lease_seconds=LONG), make_runner()
        taken, cancelled = asyncio.Event(), asyncio.Event()

        async def agent(context):
            for event in opening(context):
                yield event
            await taken.wait()
            try:
                while True:
                    yield delta(context, "more")
                    await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        live = await start(frozen, agent, run="r1")
        await until(lambda: bool(frozen.leases.live))
        await written(frozen)
        every = frozen.writer._every
        await freeze(frozen)
        await expired(survivor)
        await run(survivor, run="r2")
        frozen.writer._every = every
        await frozen.write(every)
        taken.set()

        await within(cancelled.wait())
        assert (await within(live))[-1]["code"] == "THREAD_TAKEN"
        assert "more" not in text_of(await history(survivor))

    async def test_connect__late_owner_spares_its_own(self, make_runner):
        """A lease that only was renewed too late is renewed by its owner, not reaped."""
        runner = make_runner(lease_seconds=LONG)
        agent = Staged()
        live = await start(runner, agent)
        await within(agent.waiting.wait())
        every = runner.writer._every
        # Its chores would renew the lease before anybody comes.
        await freeze(runner)
        await expired(runner)

        follower = await follow(runner)
        runner.writer._every = every
        agent.cue.set()

        assert kinds(await live)[-1] == "RUN_FINISHED"
        assert kinds(await follower)[-1] == "RUN_FINISHED"


class TestSegments:
    async def test_run__segments_of_bounded_size(self, runner):
        """However fast an agent talks, a row holds so much and no more."""

        async def agent(context):
            for event in opening(context, ""):
                yield event
            for _ in range(10_000):
                yield delta(context, "x" * 150)
            yield {"type": "TEXT_MESSAGE_END", "messageId": f"{context.run_id}-m1"}
            yield context.finished()

        sent = await everything(await runner.run(request_for(agent)), LONG)

        segments = await rows(runner, Segment)
        assert max(each.last - each.first + 1 for each in segments) <= 4096
        assert max(len(each.data) for each in segments) <= 1024 * 1024 + 4096
        assert b"\n".join(bytes(each.data) for each in segments).split(b"\n") == sent

    async def test_sweep__after_resume_seconds(self, make_runner, monkeypatch):
        """Raw events go when nobody can ask for them any more; the history stays."""
        monkeypatch.setattr("copilotkit_django.runners.store.SWEEP_RUNS", 2)
        monkeypatch.setattr("copilotkit_django.runners.upkeep.SETTLE_SECONDS", 0)
        runner = make_runner(resume_seconds=0)
        for number in range(5):
            await run(runner, run=f"r{number}")
        before = await history(runner)

        await runner.sweep()

        assert await rows(runner, Segment) == []
        assert await history(runner) == before

    async def test_sweep__again(self, make_runner, monkeypatch):
        """A second look takes what has ended since, by whatever clock; a full one the rest."""
        monkeypatch.setattr("copilotkit_django.runners.upkeep.SETTLE_SECONDS", 0)
        # The other one sweeps by itself, and must leave to this one what it is about.
        runner, other = make_runner(resume_seconds=0), make_runner(resume_seconds=86_400)
        await runner.sweep()

        await run(other, run="r0")
        moment = timezone.now() - timedelta(minutes=4)
        await runner.write(Run.objects.using(runner.store.alias).update, ended_at=moment)
        await runner.sweep()
        assert await rows(runner, Segment) == []

        await run(other, run="r1")
        moment = timezone.now() - timedelta(minutes=40)
        await runner.write(Run.objects.using(runner.store.alias).update, ended_at=moment)
        await runner.sweep()
        assert await rows(runner, Segment) != []
        monkeypatch.setattr(runner.upkeep, "_next_full_look", 0.0)
        await runner.sweep()
        assert await rows(runner, Segment) == []

    async def test_sweep__follower_that_is_late(self, make_runner, monkeypatch):
        """Nobody may resume, and a follower elsewhere still gets the end of the run."""
        monkeypatch.setattr("copilotkit_django.runners.upkeep.SETTLE_SECONDS", LONG)
        runner, elsewhere = make_runner(resume_seconds=0), make_runner()
        agent = Staged()
        live = await start(runner, agent)
        follower = await follow(elsewhere)
        read, hold = elsewhere.read, asyncio.Event()

        async def late(*arguments, **options):
            await hold.wait()
            return await read(*arguments, **options)

        elsewhere.read = late
        agent.cue.set()
        await live
        await runner.sweep()
        hold.set()

        assert await within(follower) == await live

    async def test_sweep__live_run(self, make_runner):
        """Those of a live run stay, whatever its age."""
        runner, elsewhere = make_runner(resume_seconds=0), make_runner()
        agent = Staged()
        live = await start(runner, agent)
        await within(agent.waiting.wait())
        await written(runner)

        await runner.sweep()
        follower = await follow(elsewhere)
        agent.cue.set()

        assert await follower == await live


async def test_run__given_up_while_it_is_claimed(runner):
    """A caller that leaves while its run is being claimed does not leave a thread behind."""
    for _ in range(10):
        claiming = asyncio.create_task(runner.run(request_for(Parrot())))
        await asyncio.sleep(0)
        claiming.cancel()
        with contextlib.suppress(asyncio.CancelledError, StoreDown):
            await claiming
    async with asyncio.timeout(LONG):
        while True:
            with contextlib.suppress(ThreadBusy):
                events = await run(runner, run="r2")
                break

    assert kinds(events)[-1] == "RUN_FINISHED"


async def test_run__claimed_without_an_answer(make_runner, monkeypatch):
    """A claim whose answer is lost for good holds its thread no longer than its lease."""
    monkeypatch.setattr("copilotkit_django.runners.database.CLAIM_SECONDS", 0.3)
    runner = make_runner(lease_seconds=SHORT)
    agent = Staged()
    live = await start(runner, agent)
    await within(agent.waiting.wait())
    write, claimed = runner.store.write, []

    def losing(writes):
        if any(isinstance(each, Claim) for each in writes):
            if not claimed:
                claimed.append(write(writes))
            raise OperationalError("server closed the connection unexpectedly")
        return write(writes)

    runner.store.write = losing
    with pytest.raises(StoreDown):
        await run(runner, thread="t2")
    runner.store.write = write
    monkeypatch.setattr("copilotkit_django.runners.database.CLAIM_SECONDS", LONG)

    async with asyncio.timeout(LONG):
        while True:
            with contextlib.suppress(ThreadBusy):
                events = await run(runner, thread="t2", run="r2")
                break
            await asyncio.sleep(0.05)

    assert kinds(events)[-1] == "RUN_FINISHED"
    assert runs_in(await history(runner, "t2")) == ["r1", "r2"]
    agent.cue.set()
    assert kinds(await live)[-1] == "RUN_FINISHED"
