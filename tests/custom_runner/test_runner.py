"""What the page says of the runner on it, in this process."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from copilotkit_django.agents import RunInput
from copilotkit_django.exceptions import ThreadBusy
from copilotkit_django.runners import RunPolicy, RunRequest, ThreadRef
from copilotkit_django.runners.log import Cursor
from copilotkit_django.signals import run_finished
from tests.acting import Failing, Parrot, Staged
from tests.talk import collect, kinds, run_input, text_of, until, within

from .runner import CacheRunner

THREAD = ThreadRef("user:1", "t1")


@pytest.fixture
async def runner():
    runner = CacheRunner()
    yield runner
    await runner.drain()
    cache.clear()


def request_for(agent, text="hi", *, run="r1", digest=b"", **policy):
    return RunRequest(
        thread=THREAD,
        agent_id="default",
        agent=agent,
        input=RunInput.from_wire(run_input(text, run=run)),
        digest=digest,
        policy=RunPolicy(stop_grace=0.05, idle=None, **policy),
    )


async def history(runner, **options):
    return await collect(await runner.connect(THREAD, **options))


async def live(runner, **options):
    """A run that waits for its cue, and its reader."""
    agent = Staged()
    reader = await runner.run(request_for(agent, **options))
    await within(agent.waiting.wait())
    return agent, reader


async def test_run__kept(runner):
    """Runs are kept, in order, and the thread is free when the stream ends."""
    for number in (1, 2):
        await collect(await runner.run(request_for(Parrot(), f"text {number}", run=f"r{number}")))
        assert not await runner.is_running(THREAD)

    assert text_of(await history(runner)) == "text 1text 2"
    assert await collect(await CacheRunner().connect(THREAD)) == await history(runner)


async def test_run__busy(runner):
    """A second run on the thread is refused; the first goes on."""
    agent, reader = await live(runner)

    with pytest.raises(ThreadBusy):
        await runner.run(request_for(Parrot(), run="r2"))

    agent.cue.set()
    assert kinds(await collect(reader))[-1] == "RUN_FINISHED"


async def test_run__sent_twice(runner):
    """A request sent twice joins the run it started."""
    agent, first = await live(runner, digest=b"a")

    second = await runner.run(request_for(agent, digest=b"a"))
    agent.cue.set()

    assert await collect(first) == await collect(second)
    assert len(agent.contexts) == 1


async def test_run__supersedes(runner):
    """Where the site says so a run takes the thread over; what it ended is not kept."""
    _, reader = await live(runner)

    await collect(await runner.run(request_for(Parrot(), "new", run="r2", supersede=True)))

    assert kinds(await collect(reader))[-1] == "RUN_FINISHED"
    assert text_of(await history(runner)) == "new"


async def test_run__failed_silently(runner):
    """A run that fails before it says anything leaves nothing behind."""
    await collect(await runner.run(request_for(Failing(0, RuntimeError("boom")))))

    assert await history(runner) == []
    assert not await runner.is_running(THREAD)


async def test_stop(runner):
    """A live run is stopped once, and only if it is the one that is meant."""
    _, reader = await live(runner)

    assert not await runner.stop(THREAD, "other")
    assert await runner.stop(THREAD, "r1")
    assert not await runner.stop(THREAD)
    assert kinds(await collect(reader))[-1] == "RUN_FINISHED"
    assert not await runner.stop(THREAD)


async def test_signals(runner):
    """Receivers are told of its runs."""
    told = []

    async def finished(**facts):
        told.append((facts["sender"], facts["run_id"]))

    run_finished.connect(finished)
    try:
        await collect(await runner.run(request_for(Parrot())))
        await until(lambda: bool(told))
    finally:
        run_finished.disconnect(finished)

    assert told == [(CacheRunner, "r1")]


async def test_drain(runner):
    """When the process ends, live runs end with an error, and are kept."""
    _, reader = await live(runner)

    await runner.drain()

    assert kinds(await collect(reader))[-1] == "RUN_ERROR"
    assert kinds(await history(runner))[-1] == "RUN_ERROR"


async def test_connect__from_a_place(runner):
    """A reader that was cut off is sent a reset marker and everything."""
    await collect(await runner.run(request_for(Parrot())))

    events = await history(runner, after=Cursor("", 1, "", 2))

    assert kinds(events)[:2] == ["CUSTOM", "RUN_STARTED"]


@pytest.mark.parametrize("path", ["/threads", "/threads/t1/messages"])
async def test_threads(serve, alice, runner, path):
    """It lists no threads: the routes answer 422."""
    serve(runner=runner)

    assert (await alice.ask("GET", path)).status == 422
