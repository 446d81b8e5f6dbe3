"""The group-commit writer, under runs that are well and runs that are not."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from django.contrib.auth import get_user_model
from django.db import DataError, OperationalError

from copilotkit_django.exceptions import StoreDown
from copilotkit_django.models import Run, SeenMessage, Segment, Thread
from copilotkit_django.runners import live as live_module
from copilotkit_django.runners.leases import log_of
from copilotkit_django.runners.writes import Claim, Finish
from tests.acting import Parrot, Staged, delta, ending, opening
from tests.talk import kinds, text_of, until, within

from .asking import LONG, everything, follow, freed, history, request_for, run, start, thread
from .stores import DATABASES

pytestmark = pytest.mark.parametrize("store", DATABASES, indirect=True)


def around_writes(runner, around):
    """Have `around(write, writes)` called in place of the store's `write`."""
    write = runner.store.write
    runner.store.write = lambda writes: around(write, writes)


def hold_up_writes(runner):
    """No write begins from now on; the event that is returned lets them go on."""
    go_on = threading.Event()

    def around(write, writes):
        go_on.wait(LONG)
        return write(writes)

    around_writes(runner, around)
    return go_on


async def rows(runner, model):
    return await runner.read(lambda: list(model.objects.using(runner.store.alias).all()))


class TestGroups:
    async def test_flush__many_short_runs(self, runner, monkeypatch):
        """Runs that start and end together share transactions."""
        monkeypatch.setattr("copilotkit_django.runners.database.CLAIM_SECONDS", LONG)
        write, entered, cue = runner.store.write, [], asyncio.Event()

        async def agent(context):
            entered.append(context)
            await cue.wait()
            for event in (*opening(context), *ending(context)):
                yield event

        claimed = hold_up_writes(runner)
        running = asyncio.gather(
            *(run(runner, agent, thread=f"t{n}", run=f"r{n}") for n in range(200))
        )
        await until(lambda: runner.leases._claimed.total() == 200)
        claimed.set()
        await until(lambda: len(entered) == 200)
        runner.store.write = write
        live = list(runner.leases.live.values())
        ended = hold_up_writes(runner)
        cue.set()
        await until(lambda: all(task.over for task in live))
        ended.set()

        assert all(kinds(events)[-1] == "RUN_FINISHED" for events in await running)
        assert runner.writer.flushes < 100

    async def test_flush__one_short_run(self, runner, monkeypatch):
        """A run on its own is two of them."""
        # The agent is not that slow, and the runner has no chores that would hurry the writer.
        monkeypatch.setattr("copilotkit_django.runners.writer.LINGER_SECONDS", LONG)
        monkeypatch.setattr(runner.upkeep, "start", lambda: None)

        await run(runner)

        assert runner.writer.flushes == 2

    async def test_flush__deltas(self, runner):
        """Deltas wait for company: thousands of them are a few transactions."""

        async def agent(context):
            for event in opening(context, ""):
                yield event
            for _ in range(2000):
                yield delta(context, "x")
                await asyncio.sleep(0)
            for event in ending(context):
                yield event

        started = time.monotonic()
        sent = await everything(await runner.run(request_for(agent)))

        assert len(sent) == 2005
        assert runner.writer.flushes <= 3 + (time.monotonic() - started) / 0.02

    async def test_flush__nothing_to_do(self, runner):
        """Silence writes nothing."""
        agent = Staged()
        live = await start(runner, agent)
        log = log_of(runner.leases.find(thread().key))
        await until(lambda: log.durable == 3)
        flushes = runner.writer.flushes

        await asyncio.sleep(0.1)

        assert runner.writer.flushes == flushes
        agent.cue.set()
        await live


class TestFailures:
    async def test_flush__answer_lost(self, runner):
        """Where every commit succeeds and its answer is lost, all of it is written once."""
        lost = []

        def around(write, writes):
            answers = write(writes)
            if lost and lost[-1] is writes[0]:
                return answers
            lost.append(writes[0])
            raise OperationalError("server closed the connection unexpectedly")

        around_writes(runner, around)
        agent = Staged()
        live = await start(runner, agent, run="r1")
        await within(agent.waiting.wait())
        log = log_of(runner.leases.find(thread().key))
        await until(lambda: log.durable == 3)
        agent.cue.set()

        assert kinds(await live)[-1] == "RUN_FINISHED"
        assert len(lost) >= 3
        assert kinds(await history(runner)) == kinds(await live)
        assert len(await rows(runner, Run)) == 1
        segments = sorted(await rows(runner, Segment), key=lambda each: each.first)
        numbers = [n for each in segments for n in range(each.first, each.last + 1)]
        assert numbers == list(range(5))
        assert {each.holder for each in await rows(runner, Thread)} == {""}
        assert len(await rows(runner, SeenMessage)) == 2

    @pytest.mark.parametrize("error", [DataError, OverflowError])
    async def test_flush__data_error_in_one_run(self, runner, caplog, error):
        """What the database or its driver refuses costs only the run it belongs to."""
        bad = thread("bad").key

        def around(write, writes):
            if any(each.key == bad and hasattr(each, "data") for each in writes):
                raise error("value too long")
            return write(writes)

        agents = [Staged() for _ in range(5)]
        around_writes(runner, around)
        lives = [
            await start(runner, agent, thread=name, run=name)
            for agent, name in zip(agents, ("a", "b", "bad", "c", "d"), strict=True)
        ]
        failed = await within(lives[2])
        for agent in agents:
            agent.cue.set()

        assert failed[-1]["code"] == "STORE_UNAVAILABLE"
        for number in (0, 1, 3, 4):
            assert kinds(await lives[number])[-1] == "RUN_FINISHED"
        assert text_of(await history(runner, "d")) == "par"
        assert "refused" in caplog.text

    async def test_flush__data_error_in_the_middle_of_a_run(self, runner, monkeypatch):
        """Nothing is stored of what came after it: a history has no holes."""
        monkeypatch.setattr(live_module, "SEGMENT_EVENTS", 1)

        def around(write, writes):
            if any(b"bad" in getattr(each, "data", b"") for each in writes):
                raise DataError("value too long")
            return write(writes)

        async def agent(context):
            for event in opening(context):
                yield event
            yield delta(context, "bad")
            for event in ending(context)[:1]:
                yield event
            await asyncio.sleep(60)

        around_writes(runner, around)
        events = await within(run(runner, agent))

        assert events[-1]["code"] == "STORE_UNAVAILABLE"
        stored = sorted(each.first for each in await rows(runner, Segment))
        assert stored == list(range(len(stored)))
        assert len(stored) <= 3

    async def test_flush__data_error_in_a_claim(self, runner):
        """So is it with claims: that of a user who is gone does not stop the others."""
        gone = request_for(Parrot(), thread="bad", scope="user:999999")
        gone.user = get_user_model()(pk=999999, username="gone")

        results = await asyncio.gather(
            run(runner, thread="a"),
            runner.run(gone),
            run(runner, thread="b"),
            return_exceptions=True,
        )

        assert kinds(results[0])[-1] == kinds(results[2])[-1] == "RUN_FINISHED"
        assert isinstance(results[1], Exception)
        assert len(await rows(runner, Run)) == 2

    async def test_flush__bug(self, runner, caplog):
        """No exception ends the writer: who was waiting is told, everybody else goes on."""

        def around(write, writes):
            runner.store.write = write
            raise RuntimeError("a bug")

        around_writes(runner, around)

        with pytest.raises(RuntimeError, match="a bug"):
            await runner.run(request_for(Parrot()))

        assert kinds(await run(runner))[-1] == "RUN_FINISHED"
        assert "The writer failed" in caplog.text

    async def test_flush__bug_at_the_end_of_a_run(self, make_runner, caplog):
        """A run whose end is lost to one says so, and its thread comes free with its lease."""
        runner = make_runner(lease_seconds=0.6)
        other = Staged()
        live = await start(runner, other, thread="other", run="other")

        def around(write, writes):
            if any(isinstance(each, Finish) for each in writes):
                runner.store.write = write
                raise RuntimeError("a bug")
            return write(writes)

        around_writes(runner, around)

        events = await run(runner)

        assert events[-1]["code"] == "STORE_UNAVAILABLE"
        await freed(runner)
        other.cue.set()
        await live

    async def test_claim__answer_with_the_end_of_the_wait(self, runner, monkeypatch):
        """A claim that is granted while the loop is held up is a run, not a thread lost."""
        monkeypatch.setattr("copilotkit_django.runners.database.CLAIM_SECONDS", 0.2)
        written = threading.Event()

        def around(write, writes):
            answers = write(writes)
            written.set()
            return answers

        around_writes(runner, around)

        def hold_up():
            written.wait(LONG)
            time.sleep(0.3)

        put = runner.writer._put

        def put_and_hold_up(item):
            put(item)
            if isinstance(getattr(item, "write", None), Claim):
                # As soon as whoever claims has begun to wait.
                asyncio.get_running_loop().call_soon(hold_up)

        monkeypatch.setattr(runner.writer, "_put", put_and_hold_up)

        assert kinds(await run(runner))[-1] == "RUN_FINISHED"

    async def test_renew__failure(self, make_runner):
        """Nor does a failure to renew leases."""
        runner = make_runner(lease_seconds=0.3)
        failures = []
        renew = runner.store.renew

        def failing(*arguments):
            if len(failures) < 2:
                failures.append(1)
                raise OperationalError("gone")
            return renew(*arguments)

        runner.store.renew = failing
        agent = Staged()
        live = await start(runner, agent)
        await until(lambda: len(failures) == 2)
        agent.cue.set()

        assert kinds(await live)[-1] == "RUN_FINISHED"


class Outage:
    """While it lasts a runner's database cannot be reached, and the runner has little patience."""

    def __init__(self, runner, monkeypatch):
        self._runner = runner
        self._monkeypatch = monkeypatch
        self._away = threading.Event()
        for name in ("select", "execute", "execute_many", "insert"):
            setattr(runner.store, name, _unless(self._away, getattr(runner.store, name)))
        monkeypatch.setattr("copilotkit_django.runners.writer.MAX_PAUSE", 0.1)

    def begin(self, *, outage_seconds=0.4):
        self._be_patient(0.3, outage_seconds)
        self._away.set()

    def end(self):
        self._be_patient(LONG, LONG)
        self._away.clear()

    def _be_patient(self, claim_seconds, outage_seconds):
        name = "copilotkit_django.runners.database.CLAIM_SECONDS"
        self._monkeypatch.setattr(name, claim_seconds)
        self._runner.outage_seconds = outage_seconds


class TestOutage:
    @pytest.fixture
    def outage(self, runner, monkeypatch):
        return Outage(runner, monkeypatch)

    @pytest.fixture
    def runner(self, make_runner):
        return make_runner(lease_seconds=1.0)

    async def test_run__store_away(self, runner, outage):
        """A run that cannot be stored does not begin; later it does."""
        await run(runner, run="r1")
        outage.begin()

        with pytest.raises(StoreDown) as caught:
            await within(runner.run(request_for(Parrot(), run="r2")))
        with pytest.raises(StoreDown):
            await within(runner.connect(thread()))
        with pytest.raises(StoreDown):
            await within(runner.stop(thread()))

        assert caught.value.status == 503
        assert "Retry-After" in caught.value.headers
        outage.end()
        assert kinds(await run(runner, run="r3"))[-1] == "RUN_FINISHED"
        assert [each.run_id for each in await rows(runner, Run)] == ["r1", "r3"]

    async def test_run__short_outage(self, runner, outage):
        """A run survives an outage that is shorter than the patience of the site."""
        agent = Staged()
        live = await start(runner, agent)
        await within(agent.waiting.wait())
        outage.begin(outage_seconds=LONG)
        agent.cue.set()
        await asyncio.sleep(0.3)
        outage.end()

        assert kinds(await within(live))[-1] == "RUN_FINISHED"
        assert text_of(await history(runner)) == "par"

    async def test_run__long_outage_while_talking(self, runner, outage):
        """After it readers are told, with an error that says what it is."""

        async def agent(context):
            for event in opening(context):
                yield event
            while True:
                yield delta(context, "x")
                await asyncio.sleep(0.02)

        live = await start(runner, agent)
        await until(lambda: bool(runner.leases.live))
        outage.begin()

        events = await within(live)

        assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
        assert events[-1]["code"] == "STORE_UNAVAILABLE"
        outage.end()
        assert kinds(await run(runner, thread="t2"))[-1] == "RUN_FINISHED"

    async def test_run__long_outage_at_the_end(self, runner, outage):
        """A run whose end cannot be stored ends with that error, not with a promise."""
        agent = Staged()
        live = await start(runner, agent)
        await within(agent.waiting.wait())
        log = log_of(runner.leases.find(thread().key))
        await until(lambda: log.durable == 3)
        outage.begin()
        agent.cue.set()

        events = await within(live)

        assert events[-1]["code"] == "STORE_UNAVAILABLE"
        assert kinds(events).count("RUN_FINISHED") == 0
        outage.end()

    async def test_run__thread_of_a_long_outage(self, runner, outage):
        """Its thread comes free with its lease, and what was stored of it is kept, closed."""
        agent = Staged()
        live = await start(runner, agent)
        await within(agent.waiting.wait())
        log = log_of(runner.leases.find(thread().key))
        await until(lambda: log.durable == 3)
        outage.begin()
        agent.cue.set()
        await within(live)
        outage.end()

        async def again():
            while True:
                try:
                    return await run(runner, run="r2")
                except Exception:
                    await asyncio.sleep(0.05)

        assert kinds(await within(again()))[-1] == "RUN_FINISHED"
        kept = await history(runner)
        # Its end may have been written in the very moment its owner gave up.
        assert kinds(kept)[4] in ("RUN_ERROR", "RUN_FINISHED")
        assert text_of(kept) == "parhi"

    async def test_connect__follower_through_an_outage(self, runner, outage, make_runner):
        """A follower whose own database access is interrupted goes on where it was."""
        owner = make_runner()
        agent = Staged()
        live = await start(owner, agent)
        follower = await follow(runner)
        outage.begin()
        agent.cue.set()
        await live
        await asyncio.sleep(0.2)
        outage.end()

        assert await within(follower) == await live


def _unless(away, function):
    def call(*arguments, **options):
        if away.is_set():
            raise OperationalError("could not connect to server")
        return function(*arguments, **options)

    return call


class TestBackPressure:
    async def test_run__agent_faster_than_the_database(self, runner):
        """However fast an agent is, what is not written stays within its bound."""
        behind = []

        def around(write, writes):
            time.sleep(0.01)
            for task in list(runner.leases.live.values()):
                behind.append(len(task.log.events) - log_of(task).durable)
            return write(writes)

        async def agent(context):
            for event in opening(context, ""):
                yield event
            event = delta(context, "x")
            for _ in range(300_000):
                yield event
            for event in ending(context):
                yield event

        around_writes(runner, around)
        sent = await everything(await runner.run(request_for(agent)), LONG)

        assert len(sent) == 300_005
        assert max(behind) <= live_module.MAX_UNWRITTEN + 200

    async def test_run__database_that_stands_still(self, runner, monkeypatch):
        """An agent that waits for the database goes on when it does, and can be stopped."""
        monkeypatch.setattr(live_module, "MAX_UNWRITTEN", 1000)
        go_on = threading.Event()

        def around(write, writes):
            if any(hasattr(each, "data") for each in writes):
                go_on.wait(5)
            return write(writes)

        async def agent(context):
            for event in opening(context, ""):
                yield event
            event = delta(context, "x")
            for _ in range(5000):
                yield event
            for event in ending(context):
                yield event

        around_writes(runner, around)
        live = await start(runner, agent)
        await until(lambda: bool(runner.leases.live))
        log = log_of(runner.leases.find(thread().key))
        await until(lambda: len(log.events) > 1000)
        await asyncio.sleep(0.05)

        assert len(log.events) < 1000 + 200
        go_on.set()
        assert kinds(await within(live))[-1] == "RUN_FINISHED"
