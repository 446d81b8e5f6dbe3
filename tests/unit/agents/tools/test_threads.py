"""The threads of synchronous tools: how many there are, and what becomes of those left behind."""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import Future, wait

import pytest
from asgiref.sync import async_to_sync

from copilotkit_django import tool
from copilotkit_django.agents.tools.threads import ToolThreads
from copilotkit_django.workers import worker_thread
from tests.talk import SECONDS, until

from .calling import content

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pool():
    return Pool()


class Pool(ToolThreads):
    numbers = itertools.count()

    def __init__(self) -> None:
        self.name = f"pool-{next(self.numbers)}-"
        super().__init__(self.name, limit=2, most_abandoned=2, idle_seconds=0.05)

    def alive(self) -> int:
        """How many threads it has at the moment."""
        return sum(thread.name.startswith(self.name) for thread in threading.enumerate())


@pytest.fixture
def gate():
    """What blocked calls wait for; opened at the end of the test."""
    gate = threading.Event()
    yield gate
    gate.set()


def results(*futures: Future):
    return [future.result(SECONDS) for future in futures]


async def test_threads__end_when_idle(pool):
    """Threads are made when they are needed, and do not stay."""
    alive = []

    def count(number):
        alive.append(pool.alive())
        return str(number)

    assert results(*(pool.submit(count, number) for number in range(20))) == [
        str(number) for number in range(20)
    ]
    assert set(alive) <= {1, 2}

    await until(lambda: pool.alive() == 0)
    assert results(pool.submit(str, 7)) == ["7"]


def test_threads__limit(pool, gate):
    """What does not fit in waits for its turn."""
    begun = [threading.Event() for _ in range(3)]

    def block(number):
        begun[number].set()
        return gate.wait(SECONDS)

    blocked = [pool.submit(block, number) for number in range(3)]
    assert all(event.wait(SECONDS) for event in begun[:2])
    assert not begun[2].wait(0.05)

    gate.set()
    assert results(*blocked) == [True, True, True]


def test_threads__abandoned(pool, gate):
    """Calls that nobody waits for make room, as far as there is patience with them."""
    begun = []

    def block():
        begun.append(1)
        return gate.wait(SECONDS)

    for expected in (2, 4):
        blocked = [pool.submit(block) for _ in range(2)]
        while len(begun) < expected:
            threading.Event().wait(0.001)
        assert [future.cancel() for future in blocked] == [False, False]

    # Four are blocked, two of which are too many to be replaced: these have to wait.
    waiting = [pool.submit(str, 1), pool.submit(str, 2)]
    assert not wait(waiting, 0.05).done
    assert waiting[0].cancel()

    gate.set()
    assert results(waiting[1]) == ["2"]


async def test_threads__surplus_ends(pool, gate):
    """Once the abandoned are through there are no more threads than before."""
    begun = threading.Semaphore(0)

    def block():
        begun.release()
        return gate.wait(SECONDS)

    blocked = [pool.submit(block) for _ in range(2)]
    for _ in blocked:
        assert begun.acquire(timeout=SECONDS)
    for future in blocked:
        future.cancel()
    assert results(pool.submit(str, 1), pool.submit(str, 2)) == ["1", "2"]

    gate.set()
    await until(lambda: pool.alive() <= 2)
    assert results(*(pool.submit(str, number) for number in range(8))) == list("01234567")
    await until(lambda: pool.alive() == 0)


def test_threads__cancelled_before_its_turn(pool, gate):
    """A call that was cancelled in time is never made."""
    made = []
    blocked = [pool.submit(gate.wait, SECONDS) for _ in range(2)]
    never = pool.submit(made.append, 1)

    assert never.cancel()
    gate.set()
    assert results(*blocked, pool.submit(str, 1)) == [True, True, "1"]
    assert made == []


def test_threads__none_to_be_had(pool, gate, monkeypatch):
    """A call that found no thread is not made later, and takes nobody's place."""
    made = []

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    blocked = pool.submit(gate.wait, SECONDS)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="new thread"):
                pool.submit(made.append, 1)
        blocked.cancel()

    assert results(pool.submit(str, 1)) == ["1"]
    gate.set()
    assert results(*(pool.submit(str, number) for number in range(4))) == list("0123")
    assert made == []


def test_threads__errors(pool):
    """What a call raises is for its caller; the thread goes on."""

    def leave():
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        pool.submit(leave).result(SECONDS)
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(SECONDS)
    assert results(pool.submit(str, 1)) == ["1"]


async def test_tool__calls_back_into_the_loop():
    """A synchronous tool may use async code of the project, on the loop of its run."""

    async def where() -> str:
        return threading.current_thread().name

    @tool
    def ask() -> str:
        return async_to_sync(where)()

    assert await content(ask) == "MainThread"


async def test_tool__blocked_ones_do_not_hold_up_runs(gate):
    """As many tools as there may be are stuck; what runs do in their own threads goes on."""

    @tool(timeout=None)
    def stuck() -> None:
        gate.wait(SECONDS)

    from .calling import call

    blocked = [asyncio.create_task(call(stuck)) for _ in range(16)]

    async def work() -> str:
        from asgiref.sync import sync_to_async

        async with worker_thread():
            return await sync_to_async(str)(7)

    assert (
        await asyncio.wait_for(asyncio.gather(*(work() for _ in range(32))), SECONDS) == ["7"] * 32
    )
    assert not any(task.done() for task in blocked)
    gate.set()
    await asyncio.gather(*blocked)
