"""Connecting to threads: the contract, over every store."""

from __future__ import annotations

import asyncio

import pytest

from tests.acting import Parrot, Staged, delta, ending, opening
from tests.talk import collect, kinds, text_of, within

from .asking import (
    LONG,
    everything,
    follow,
    history,
    request_for,
    run,
    runs_in,
    start,
    stored,
    thread,
    until_said,
)
from .stores import DATABASES

on_databases = pytest.mark.parametrize("store", DATABASES, indirect=True)


class TestConnect:
    async def test_connect__unknown_thread(self, runner):
        """A thread nobody has heard of is an empty history, and asking does not make it one."""
        assert await history(runner) == []
        assert not await runner.is_running(thread())
        assert await runner.threads.delete(thread()) is False

    async def test_connect__finished_runs(self, runner):
        """The history is every run in order, with what the user said."""
        await run(runner, text="one", run="r1")
        await run(runner, text="two", run="r2")

        events = await history(runner)

        assert runs_in(events) == ["r1", "r2"]
        assert text_of(events) == "onetwo"

    async def test_connect__many_runs(self, runner):
        """A history of hundreds of runs is whole and in order."""
        names = [f"r{number}" for number in range(90)]
        for name in names:
            await run(runner, run=name)

        assert runs_in(await history(runner)) == names
        assert runs_in(await stored(runner)) == names

    @on_databases
    async def test_connect__more_runs_than_a_page(self, runner, monkeypatch):
        """So it is where it takes several queries."""
        monkeypatch.setattr("copilotkit_django.runners.reading.PAGE", 2)
        for number in range(4):
            await run(runner, run=f"r{number}")
        agent = Staged()
        live = await start(runner, agent, run="r4")
        follower = await follow(runner)
        agent.cue.set()

        assert runs_in(await follower) == [f"r{number}" for number in range(5)]
        assert runs_in(await stored(runner)) == [f"r{number}" for number in range(5)]
        await live

    async def test_connect__large_runs(self, runner, monkeypatch):
        """Large runs, with pictures in them, are read and sent one by one, among small ones."""
        monkeypatch.setattr("copilotkit_django.runners.reads.MAX_TOGETHER", 4000)
        for module in ("memory", "reading"):
            monkeypatch.setattr(f"copilotkit_django.runners.{module}.BATCH_BYTES", 4000)
        texts = ["x", "y" * 5000, "z", "ä" * 5000, "é" * 5000]
        for number, text in enumerate(texts):
            await run(runner, text=text, run=f"r{number}")
        agent = Staged()
        live = await start(runner, agent, run="live")
        follower = await follow(runner)
        agent.cue.set()
        await live

        assert text_of(await follower) == "".join(texts) + "par"
        assert text_of(await stored(runner)) == "".join(texts) + "par"
        batches = [batch async for batch in await runner.connect(thread())]
        assert [b"".join(batch).count(b'"RUN_STARTED"') for batch in batches] == [2, 2, 1, 1]

    async def test_connect__live_run(self, runner):
        """Connecting to a live run gives its beginning and follows it to its end."""
        agent = Staged()
        first = await start(runner, agent)
        others = [await follow(runner) for _ in range(3)]
        agent.cue.set()

        assert [await other for other in others] == [await first] * 3

    @on_databases
    async def test_connect__live_run_elsewhere(self, runner, elsewhere):
        """In another process, too."""
        agent = Staged()
        first = await start(runner, agent)
        others = [await follow(elsewhere) for _ in range(3)]
        agent.cue.set()

        assert [await other for other in others] == [await first] * 3

    @pytest.mark.parametrize("reader", ["runner", "elsewhere"])
    async def test_connect__live_run_after_others(self, store, make_runner, reader):
        """The finished runs come first, each event once."""
        runner = make_runner()
        follower = make_runner() if reader == "elsewhere" and store != "memory" else runner
        await run(runner, run="r1")
        await run(runner, run="r2")
        agent = Staged()
        live = await start(runner, agent, run="r3")
        await within(agent.waiting.wait())
        following = await follow(follower)
        agent.cue.set()

        events = await following
        assert runs_in(events) == ["r1", "r2", "r3"]
        assert events[-len(await live) :] == await live

    async def test_connect__ends_with_the_run_it_met(self, runner):
        """A reader never goes on to a run that began after it connected."""
        agent = Staged()
        first = await start(runner, agent, run="r1")
        await within(agent.waiting.wait())
        reader = await runner.connect(thread())
        agent.cue.set()
        await first
        await run(runner, run="r2")

        assert runs_in(await collect(reader)) == ["r1"]

    @on_databases
    async def test_connect__slow_reader_elsewhere(self, runner, elsewhere):
        """A reader that takes its time over the history still gets all of the run that was live
        when it came, though others have long read it to its end."""
        await run(runner, run="r1")
        agent = Staged()
        live = await start(runner, agent, run="r2")
        await within(agent.waiting.wait())
        slow = await elsewhere.connect(thread())
        await within(anext(slow))
        quick = [await elsewhere.connect(thread()) for _ in range(2)]
        for each in quick:
            await until_first(each, b"r2")
        agent.cue.set()
        await live
        # The one stays in the middle of the run while the slow one begins to read it.
        assert runs_in(await collect(quick[0])) == []
        reading = asyncio.create_task(collect(slow))
        await asyncio.sleep(0)
        assert kinds(await collect(quick[1]))[-1] == "RUN_FINISHED"

        assert await within(reading) == await live

    async def test_connect__idle(self, runner):
        """While the agent is silent a reader is told that the run is alive."""
        agent = Staged()
        first = await start(runner, agent)
        reader = await runner.connect(thread(), idle=0.01)
        await within(anext(reader))

        async def silence():
            async for batch in reader:
                if not batch:
                    return

        await within(silence())
        await reader.aclose()
        agent.cue.set()
        await first

    @on_databases
    async def test_connect__readers_that_leave(self, runner, elsewhere):
        """Followers that go away are forgotten; nothing is read for them any more."""
        agent = Staged()
        first = await start(runner, agent)
        for _ in range(5):
            await until_said(elsewhere)
        readings = [asyncio.create_task(history(elsewhere)) for _ in range(5)]
        await asyncio.sleep(0.05)
        for each in readings:
            each.cancel()
        await asyncio.wait(readings)

        (loop,) = elsewhere.followers._loops.values()
        async with asyncio.timeout(LONG):
            while loop.tails or not loop.filling.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        agent.cue.set()
        await first


class TestModernClients:
    async def test_connect__run_of_a_modern_client(self, runner):
        """A client that declared no version gets a run of one that did in the form it knows."""
        sent = await run(runner, cancelled, protocolVersion="1.0")

        assert sent[-1]["outcome"] == {"type": "cancelled"}
        assert "outcome" not in (await history(runner))[-1]
        assert (await history(runner, modern=True))[-1]["outcome"] == {"type": "cancelled"}
        assert "outcome" not in (await stored(runner))[-1]

    @pytest.mark.parametrize("where", ["runner", "elsewhere"])
    async def test_connect__live_run_of_a_modern_client(self, store, make_runner, where):
        """The same holds while that run is going on."""
        runner = make_runner()
        reader = make_runner() if where == "elsewhere" and store != "memory" else runner
        cue = asyncio.Event()

        async def agent(context):
            yield context.started()
            await cue.wait()
            yield context.finished(outcome={"type": "cancelled"})

        first = await start(runner, agent, protocolVersion="1.0")
        older, newer = await follow(reader), await follow(reader, modern=True)
        cue.set()

        assert "outcome" not in (await older)[-1]
        assert (await newer)[-1]["outcome"] == {"type": "cancelled"}
        await first

    async def test_connect__mixed_runs(self, runner):
        """Runs of both kinds of client stand in one history."""
        await run(runner, cancelled, run="r1", protocolVersion="1.0")
        await run(runner, Parrot(), run="r2")
        await run(runner, cancelled, run="r3", protocolVersion="1.0")

        older, newer = await history(runner), await history(runner, modern=True)

        assert runs_in(older) == runs_in(newer) == ["r1", "r2", "r3"]
        assert sum("outcome" in event for event in older) == 0
        assert sum("outcome" in event for event in newer) == 2


AWKWARD = [
    "naïve — 中文 — 🦜",
    "a\u2028b\u2029c\nd\re\tf",
    "nul \x00 inside",
    '"quotes" and \\ backslashes',
    "",
]


class TestContent:
    async def test_connect__awkward_texts(self, runner):
        """Whatever a string may hold comes back as it was, from the user and from the agent."""

        async def agent(context):
            for event in opening(context, "start"):
                yield event
            for text in AWKWARD[:-1]:
                yield delta(context, text)
            for event in ending(context):
                yield event

        for number, text in enumerate(AWKWARD):
            await run(runner, agent, text, run=f"r{number}")
        events = await history(runner)

        assert text_of(events) == ("start" + "".join(AWKWARD[:-1])) * len(AWKWARD)
        assert [e["input"]["messages"][0]["content"] for e in events if "input" in e] == AWKWARD

    @pytest.mark.parametrize("reader", ["runner", "elsewhere"])
    async def test_connect__half_emojis(self, store, make_runner, reader):
        """An emoji in two deltas is whole again, live and in the history."""
        runner = make_runner()
        follower = make_runner() if reader == "elsewhere" and store != "memory" else runner
        cue = asyncio.Event()

        async def agent(context):
            for event in opening(context, "\ud83e"):
                yield event
            await cue.wait()
            yield delta(context, "\udd9c")
            for event in ending(context):
                yield event

        live = await start(runner, agent)
        following = await follow(follower)
        cue.set()

        parrot = "\ud83e\udd9c"
        assert text_of(await live) == text_of(await following) == parrot
        assert text_of(await history(follower)).encode("utf-16", "surrogatepass") == parrot.encode(
            "utf-16", "surrogatepass"
        )

    async def test_connect__large_event(self, runner):
        """An event of a megabyte is an event like any other."""
        text = "x" * 1_000_000

        events = await run(runner, text=text)

        assert text_of(events) == text
        assert text_of(await history(runner)) == text

    async def test_connect__many_large_events(self, runner):
        """So are two dozen of them, said in one breath: more than some servers take at once."""
        text = "x" * 1_000_000

        async def agent(context):
            for event in opening(context, ""):
                yield event
            for _ in range(8):
                yield delta(context, text)
            for event in ending(context):
                yield event

        readers = [await runner.run(request_for(agent, thread=f"t{n}")) for n in range(3)]
        for sent in await asyncio.gather(*map(everything, readers)):
            assert b"RUN_FINISHED" in sent[-1]

        for n in range(3):
            assert len(text_of(await history(runner, f"t{n}"))) == 8 * len(text)

    @on_databases
    async def test_connect__long_run_elsewhere(self, runner, elsewhere):
        """20,000 events followed live from another process: none lost, none twice, in order."""
        begun = asyncio.Event()

        async def agent(context):
            for event in opening(context, "0"):
                yield event
            await begun.wait()
            for number in range(1, 20_000):
                yield delta(context, str(number))
                if number % 100 == 0:
                    await asyncio.sleep(0)
            for event in ending(context):
                yield event

        reader = await runner.run(request_for(agent))
        following = asyncio.create_task(everything(await elsewhere.connect(thread())))
        begun.set()
        sent = await everything(reader)

        assert len(sent) == 20_000 + 4
        assert await following == sent


async def cancelled(context):
    yield context.started()
    yield context.finished(outcome={"type": "cancelled"})


async def until_first(reader, mark: bytes) -> None:
    """Read until an event holds some bytes."""
    async with asyncio.timeout(5):
        async for batch in reader:
            if any(mark in event for event in batch):
                return
