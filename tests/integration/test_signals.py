"""Signals about runs, with either runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from copilotkit_django import signals
from copilotkit_django.runners import InMemoryRunner
from copilotkit_django.runners.database import DatabaseRunner
from tests.acting import Failing, Parrot, Staged
from tests.talk import kinds, run_input, until, within

from .site import first_event, read

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ("thread_created", "run_started", "run_stopped", "run_finished")

Heard = list[tuple[str, dict[str, Any]]]


@pytest.fixture(params=[InMemoryRunner, DatabaseRunner])
def runner(request) -> Any:
    return request.param()


@pytest.fixture
def connect() -> Iterator[Callable[..., None]]:
    """Connect receivers for the length of a test."""
    connected: list[tuple[Any, Any]] = []

    def connect(name: str, receiver: Any) -> None:
        signal = getattr(signals, name)
        signal.connect(receiver, weak=False)
        connected.append((signal, receiver))

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver)


@pytest.fixture
def heard(connect) -> Heard:
    """Everything that was sent, in order."""
    heard: Heard = []
    for name in NAMES:

        async def receive(*, name: str = name, signal: Any, **facts: Any) -> None:
            heard.append((name, facts))

        connect(name, receive)
    return heard


def names(heard: Heard) -> list[str]:
    return [name for name, _ in heard]


async def told(heard: Heard, count: int = 1) -> None:
    """Return once so many runs are over for receivers, too."""
    await until(lambda: names(heard).count("run_finished") == count)


async def test_run__from_its_start_to_its_end(serve, alice, heard, runner):
    """A thread is created with its first run only, and a run has two ends."""
    serve(runner=runner)

    await alice.run(run_input("hi"))
    await told(heard)
    await alice.run(run_input("again", run="r2"))
    await told(heard, 2)

    assert names(heard) == [
        "thread_created",
        "run_started",
        "run_finished",
        "run_started",
        "run_finished",
    ]
    _, started = heard[3]
    assert started.pop("thread_key")
    assert started == {
        "sender": type(runner),
        "thread_id": "t1",
        "run_id": "r2",
        "agent_id": "default",
        "scope": "user:alice",
        "user": None,
    }
    _, finished = heard[4]
    assert (finished["outcome"], finished["usage"]) == ("finished", [])
    assert finished["duration"] > 0


async def test_run__usage(serve, alice, heard, runner):
    """What the agent reports of its use of tokens comes with the end."""

    async def agent(context):
        yield context.started()
        yield context.finished(usage=[{"model": "m", "inputTokens": 3}])

    serve(agents={"default": agent}, runner=runner)
    await alice.run(run_input(protocolVersion="1.0"))
    await told(heard)

    assert heard[-1][1]["usage"] == [{"model": "m", "inputTokens": 3}]


async def test_run__failed(serve, alice, heard, runner):
    """A run that failed is over, too."""
    serve(agents={"default": Failing(2, ValueError("broken"))}, runner=runner)

    await alice.run(run_input())
    await told(heard)

    assert heard[-1][1]["outcome"] == "failed"


async def test_run__stopped(serve, alice, heard, runner):
    """Being asked to stop comes before the end."""
    agent = Staged()
    serve(agents={"default": agent}, runner=runner)
    live = await alice.open("POST", "/agent/default/run", run_input())
    await within(agent.waiting.wait())

    await alice.ask("POST", "/agent/default/stop/t1")
    await read(live)
    await told(heard)

    assert names(heard)[-2:] == ["run_stopped", "run_finished"]
    assert heard[-1][1]["outcome"] == "stopped"


async def test_run__sent_twice(serve, alice, heard, runner):
    """A request sent twice is one run."""
    agent = Staged()
    serve(agents={"default": agent}, runner=runner)
    first = await alice.open("POST", "/agent/default/run", run_input())
    second = await alice.open("POST", "/agent/default/run", run_input())
    agent.cue.set()
    await read(first)
    await read(second)
    await told(heard)

    assert names(heard).count("run_started") == 1


async def test_suggest__silent(serve, alice, heard, runner):
    """Suggestions are no runs of a thread."""
    serve(runner=runner)

    await alice.ask("POST", "/agent/default/suggest", run_input())

    assert heard == []


async def test_receiver__raises(serve, alice, connect, heard, runner, caplog):
    """A receiver that raises changes nothing, for nobody. Its error is logged."""

    def broken(**facts: Any) -> None:
        raise ValueError("a bug of the project")

    for name in NAMES:
        connect(name, broken)
    serve(runner=runner)

    answer = await alice.run(run_input("hi"))
    await told(heard)

    assert kinds(answer.events)[-1] == "RUN_FINISHED"
    assert "a bug of the project" in caplog.text


async def test_receiver__slow(serve, alice, connect, runner):
    """Neither the agent nor the reader waits for a receiver, and signals keep their order."""
    go_on = asyncio.Event()
    order: list[str] = []

    async def slow(**facts: Any) -> None:
        await go_on.wait()
        order.append("started")

    async def quick(**facts: Any) -> None:
        order.append("finished")

    connect("run_started", slow)
    connect("run_finished", quick)
    serve(runner=runner)

    answer = await alice.run(run_input("hi"))
    assert kinds(answer.events)[-1] == "RUN_FINISHED"
    assert order == []
    go_on.set()
    await until(lambda: order == ["started", "finished"])


async def test_receiver__sync_with_database(serve, alice, connect, heard, runner):
    """Synchronous receivers may use the ORM, off the event loop."""

    def create(*, run_id: str, **facts: Any) -> None:
        get_user_model().objects.create(username=f"seen-{run_id}")

    connect("run_started", create)
    serve(runner=runner)

    await alice.run(run_input("hi"))
    await told(heard)

    assert await sync_to_async(get_user_model().objects.filter(username="seen-r1").exists)()


async def test_receiver__of_one_runner(serve, alice, heard, runner):
    """The sender is the class of the runner, so a receiver may ask for one of them only."""
    others: list[str] = []

    async def receive(**facts: Any) -> None:
        others.append(facts["run_id"])

    signals.run_finished.connect(receive, sender=str, weak=False)
    try:
        serve(agents={"default": Parrot()}, runner=runner)
        await alice.run(run_input("hi"))
        await told(heard)
    finally:
        signals.run_finished.disconnect(receive, sender=str)

    assert others == []


async def test_run__reader_gone(serve, alice, heard, runner):
    """The end is told even if nobody reads any more."""
    agent = Staged()
    serve(agents={"default": agent}, runner=runner)
    live = await alice.open("POST", "/agent/default/run", run_input())
    rest = await first_event(live)
    await rest.aclose()

    agent.cue.set()
    await told(heard)

    assert heard[-1][1]["outcome"] == "finished"
