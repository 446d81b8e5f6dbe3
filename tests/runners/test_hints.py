"""Hints between processes over Redis: sooner than polling, and never needed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import time

import pytest
from channels.layers import channel_layers

from copilotkit_django import background
from copilotkit_django.runners.leases import log_of
from tests import services
from tests.acting import Staged, delta, ending, opening
from tests.databases import channel_layers as on_redis
from tests.talk import kinds, text_of, until, within

from .asking import LONG, follow, history, run, start, thread
from .stores import POSTGRES, SQLITE

pytestmark = pytest.mark.parametrize("store", [SQLITE, POSTGRES], indirect=True)

#: So seldom that nothing in these tests is found by looking.
NEVER = 60.0


@pytest.fixture
def redis(tmp_path):
    """A Redis of this test's own, on a free port: the process and its URL."""
    program = services.require("redis-server")
    pytest.importorskip("channels_redis")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield process, f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait(5)


def _wait_for(port: int) -> None:
    for _ in range(3000):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.01)
    raise TimeoutError(f"no Redis on port {port}")


@pytest.fixture
async def layer(redis, settings):
    settings.CHANNEL_LAYERS = on_redis(redis[1])
    yield channel_layers["default"]
    # A hint that is still on its way would connect anew, and nobody would close that.
    loop = asyncio.get_running_loop()
    await until(lambda: not any(task.get_loop() is loop for task in background._tasks))
    with contextlib.suppress(Exception):
        await channel_layers["default"].flush()
    channel_layers.backends.clear()


@pytest.fixture
def unhurried(monkeypatch):
    """Whatever is noticed is noticed by a hint, and no hint is given up."""
    monkeypatch.setattr("copilotkit_django.runners.hints.SEND_SECONDS", NEVER)
    monkeypatch.setattr("copilotkit_django.runners.followers.POLL_SECONDS", NEVER)
    monkeypatch.setattr("copilotkit_django.runners.followers.GLANCE_SECONDS", NEVER)
    monkeypatch.setattr("copilotkit_django.runners.upkeep.WATCH_SECONDS", NEVER)


async def listening(*runners):
    """Have the runners listen, and wait until they do."""
    for runner in runners:
        await history(runner, "nothing")
    async with asyncio.timeout(5):
        while any(len(groups) < len(runners) for groups in _members()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _members():
    layers = channel_layers["default"]._layers.values()
    return [set(groups) for each in layers for groups in each.groups.values()] or [set()]


async def test_data__follower_elsewhere(layer, unhurried, runner, elsewhere):
    """A follower in another process learns of each event by a hint, and of the end."""
    await listening(runner, elsewhere)
    more = asyncio.Event()
    agent = Talking(more)
    live = await start(runner, agent)
    follower = await follow(elsewhere)
    more.set()

    assert await within(follower) == await live


async def test_data__sooner_than_polling(layer, unhurried, runner, elsewhere):
    """Each event is known elsewhere before there is another, or a look at the database."""
    await listening(runner, elsewhere)
    heard = asyncio.Semaphore(0)

    async def agent(context):
        for event in opening(context, "0"):
            yield event
        for number in range(1, 20):
            await heard.acquire()
            yield delta(context, str(number))
        await heard.acquire()
        for event in ending(context):
            yield event

    live = await start(runner, agent)
    texts = []
    async with asyncio.timeout(LONG):
        async for batch in await elsewhere.connect(thread()):
            for event in batch:
                if b"TEXT_MESSAGE_CONTENT" in event:
                    texts.append(json.loads(event)["delta"])
                    heard.release()

    assert texts == [str(number) for number in range(20)]
    assert text_of(await live) == "".join(texts)


async def test_stop__from_elsewhere(layer, unhurried, runner, elsewhere):
    """The owner learns of a stop by a hint."""
    await listening(runner, elsewhere)
    agent = Staged()
    live = await start(runner, agent)
    await within(agent.waiting.wait())

    assert await elsewhere.stop(thread())

    await within(agent.cancelled.wait())
    assert kinds(await live)[-1] == "RUN_FINISHED"


async def test_data__redis_killed(layer, redis, runner, elsewhere, caplog):
    """Without Redis everything is found by looking, and nothing is lost."""
    await listening(runner, elsewhere)
    agent = Staged()
    live = await start(runner, agent)
    follower = await follow(elsewhere)
    process, _ = redis
    process.kill()
    process.wait(5)
    with caplog.at_level(logging.CRITICAL):
        agent.cue.set()

        assert await within(follower) == await live
        assert kinds(await run(runner, run="r2"))[-1] == "RUN_FINISHED"
        second = Staged()
        live = await start(runner, second, run="r3")
        await within(second.waiting.wait())
        assert await elsewhere.stop(thread())
        await within(second.cancelled.wait())
        assert text_of(await live) == "par"


async def test_data__redis_hangs(runner, elsewhere, settings, caplog):
    """A layer that neither answers nor fails holds nothing up."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.HangingLayer"}}
    agent = Staged()
    live = await start(runner, agent)
    follower = await follow(elsewhere)
    agent.cue.set()

    assert await within(follower) == await live


async def test_listen__renewed(layer, unhurried, runner, elsewhere, monkeypatch):
    """Membership is renewed though nothing was heard, and leaves no channel behind to fill up."""
    monkeypatch.setattr("copilotkit_django.runners.hints.REJOIN_SECONDS", 0.1)
    await listening(runner, elsewhere)
    before = _members()
    await until(lambda: len(before[0] & _members()[0]) == 0)
    more = asyncio.Event()
    live = await start(runner, Talking(more))
    number = log_of(runner.leases.find(thread().key)).run

    async def hint():
        # Again and again: one may come between two memberships.
        while True:
            runner.hints.data([number])
            await asyncio.sleep(0.01)

    hinting = asyncio.create_task(hint())
    follower = await follow(elsewhere)
    more.set()

    assert await within(follower) == await live
    hinting.cancel()
    assert all(len(groups) <= 2 for groups in _members())


async def test_listen__layer_of_one_process(runner, settings):
    """A layer in memory reaches nobody else, and is left alone."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

    await run(runner)

    layer = channel_layers["default"]
    assert not layer.groups
    assert not layer.channels


class HangingLayer:
    """A channel layer whose server has stopped to answer."""

    async def _hang(self, *arguments):
        await asyncio.Event().wait()

    new_channel = group_add = group_send = receive = _hang


class Talking(Staged):
    """Says three more things once it may."""

    def __init__(self, more):
        super().__init__()
        self.more = more

    async def run(self, context):
        for event in opening(context):
            yield event
        await self.more.wait()
        for number in range(3):
            yield delta(context, str(number))
            await asyncio.sleep(0.03)
        for event in ending(context):
            yield event
