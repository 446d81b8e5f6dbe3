"""Stopping runs, and the end of the process: the contract, over every store."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from copilotkit_django.exceptions import StoreDown
from copilotkit_django.runners import RunPolicy, database, memory
from tests.acting import Parrot, Staged, delta, opening
from tests.talk import collect, kinds, text_of, within

from .asking import LONG, follow, history, request_for, run, start, thread, until_said
from .stores import DATABASES

on_databases = pytest.mark.parametrize("store", DATABASES, indirect=True)


class TestStop:
    async def test_stop__nothing_runs(self, runner):
        """There is nothing to stop on an unknown or idle thread."""
        assert await runner.stop(thread()) is False
        await run(runner)
        assert await runner.stop(thread()) is False

    async def test_stop__live_run(self, runner):
        """A stopped run ends well, and its half answer is kept."""
        agent = Staged()
        live = await start(runner, agent)
        await within(agent.waiting.wait())

        assert await runner.stop(thread()) is True
        assert await runner.stop(thread()) is False
        assert kinds(await live)[-1] == "RUN_FINISHED"
        assert agent.cancelled.is_set()
        assert text_of(await history(runner)) == "par"
        assert not await runner.is_running(thread())

    @on_databases
    async def test_stop__from_elsewhere(self, runner, elsewhere):
        """So does one that another process stops, without hints."""
        agent = Staged()
        live = await start(runner, agent)
        await within(agent.waiting.wait())
        follower = await follow(elsewhere)

        assert await elsewhere.stop(thread()) is True
        assert await elsewhere.stop(thread()) is False
        await within(agent.cancelled.wait())
        assert kinds(await live)[-1] == "RUN_FINISHED"
        assert await follower == await live
        assert text_of(await history(elsewhere)) == "par"
        assert await elsewhere.stop(thread()) is False

    async def test_stop__by_run_id(self, runner):
        """With a run id only that run is stopped."""
        agent = Staged()
        live = await start(runner, agent, run="r2")
        await within(agent.waiting.wait())

        assert await runner.stop(thread(), "r1") is False
        assert await runner.stop(thread(), "r2") is True
        await live

    @on_databases
    async def test_stop__by_run_id_from_elsewhere(self, runner, elsewhere):
        """From another process, too."""
        agent = Staged()
        live = await start(runner, agent, run="r2")
        await within(agent.waiting.wait())

        assert await elsewhere.stop(thread(), "r1") is False
        assert await elsewhere.stop(thread(), "r2") is True
        await within(live)

    @on_databases
    async def test_stop__leaves_the_next_run_alone(self, runner, elsewhere):
        """A flag that was set for one run does not stop the one after it."""
        agent = Staged()
        live = await start(runner, agent, run="r1")
        await within(agent.waiting.wait())
        assert await elsewhere.stop(thread()) is True
        await within(live)

        following = Staged()
        second = await start(runner, following, run="r2")
        await within(following.waiting.wait())
        # Longer than the owner takes to look at flags.
        with contextlib.suppress(TimeoutError):
            await within(following.cancelled.wait(), 0.4)

        assert not following.cancelled.is_set()
        following.cue.set()
        assert text_of(await second) == "par"

    async def test_stop__other_scope(self, runner):
        """Nobody stops the thread of another scope by knowing its id."""
        agent = Staged()
        live = await start(runner, agent, scope="user:1")
        await within(agent.waiting.wait())

        assert await runner.stop(thread(scope="user:2")) is False
        assert await runner.is_running(thread(scope="user:1"))
        agent.cue.set()
        await live

    async def test_stop__agent_with_a_last_word(self, runner):
        """What an agent says within the grace counts."""

        async def agent(context):
            for event in opening(context):
                yield event
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                yield delta(context, "ting")

        live = await start(runner, agent, policy=RunPolicy(stop_grace=5, idle=None))
        await until_said(runner)
        await runner.stop(thread())

        assert text_of(await live) == text_of(await history(runner)) == "parting"

    async def test_stop__agent_that_ignores(self, runner):
        """After the grace the run ends without the agent; nothing it says then is kept."""
        release = asyncio.Event()

        async def agent(context):
            for event in opening(context):
                yield event
            while not release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()
            yield delta(context, "late")

        live = await start(runner, agent)
        await until_said(runner)
        await runner.stop(thread())

        assert text_of(await live) == "par"
        release.set()
        await run(runner, run="r2")
        assert "late" not in str(await history(runner))


class TestDrain:
    async def test_drain__live_runs(self, make_runner, store):
        """At the end of the process live runs end with one clean error, their threads are free."""
        runner = make_runner()
        agents = [Staged(), Staged()]
        lives = [
            await start(runner, agent, thread=f"t{number}") for number, agent in enumerate(agents)
        ]
        for agent in agents:
            await within(agent.waiting.wait())

        await within(runner.drain())

        survivor = runner if store == "memory" else make_runner()
        for number, live in enumerate(lives):
            events = await live
            assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
            assert kinds(events).count("RUN_ERROR") == 1
            kept = await history(survivor, f"t{number}")
            assert kinds(kept) == kinds(events)
            assert not await survivor.is_running(thread(f"t{number}"))
            again = await run(survivor, thread=f"t{number}", run="r2")
            assert kinds(again)[-1] == "RUN_FINISHED"

    @on_databases
    async def test_drain__followers_elsewhere(self, make_runner):
        """Readers in other processes get the ending."""
        runner, elsewhere = make_runner(), make_runner()
        live = await start(runner, Staged())
        follower = await follow(elsewhere)

        await runner.drain()

        assert await within(follower) == await live

    async def test_drain__nothing_runs(self, runner, monkeypatch):
        """Where nothing runs there is nothing to wait for."""
        for module in (memory, database):
            monkeypatch.setattr(module, "DRAIN_SECONDS", LONG)
        await run(runner)

        await within(runner.drain())

    async def test_drain__twice(self, runner):
        """A server may say more than once that it stops."""
        await run(runner)

        await within(runner.drain())
        await within(runner.drain())

    @on_databases
    async def test_drain__unused(self, runner):
        """A runner that never did anything is closed like any other."""
        await within(runner.drain())

    @on_databases
    async def test_drain__requests_after_it(self, runner, monkeypatch):
        """What still comes in is told at once to come back, not left waiting."""
        monkeypatch.setattr(database, "CLAIM_SECONDS", LONG)
        await run(runner)
        await runner.drain()

        with pytest.raises(StoreDown):
            await within(runner.run(request_for(Parrot(), run="r2")))
        with pytest.raises(StoreDown):
            await within(runner.connect(thread()))
        with pytest.raises(StoreDown):
            await within(runner.stop(thread()))

    async def test_drain__after_a_stop(self, runner):
        """A run that is winding down when the process stops is still ended once."""
        release = asyncio.Event()

        async def agent(context):
            for event in opening(context):
                yield event
            while not release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()

        reader = await runner.run(request_for(agent, policy=RunPolicy(stop_grace=0.2, idle=None)))
        await until_said(runner)
        await runner.stop(thread())
        await within(runner.drain())
        release.set()

        events = await collect(reader)
        assert [kind for kind in kinds(events) if kind in ("RUN_ERROR", "RUN_FINISHED")] in (
            ["RUN_ERROR"],
            ["RUN_FINISHED"],
        )
