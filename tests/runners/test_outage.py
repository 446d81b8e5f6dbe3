"""A store that is away, as callers over HTTP and real databases show it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest
from django.db import OperationalError, connections

from copilotkit_django.exceptions import StoreDown
from copilotkit_django.runtime import Runtime
from tests.acting import Parrot, Staged
from tests.integration.site import BASE, Caller, Site, by_header
from tests.talk import kinds, run_input, within

from .asking import follow, start, thread
from .stores import SQLITE

pytestmark = pytest.mark.parametrize("store", [SQLITE], indirect=True)


async def test_view__store_away(runner, settings, monkeypatch):
    """A request that needs the store is told to come back, by status, header and body."""
    away = threading.Event()
    _fail_while(away, runner)
    runtime = Runtime(
        agents={"default": Parrot()}, authentication=by_header, runner=runner, keepalive_seconds=0
    )
    settings.ROOT_URLCONF = Site({BASE: runtime})
    alice = Caller(headers={"x-user": "alice"})
    await alice.run(run_input())
    away.set()

    with monkeypatch.context() as impatient:
        impatient.setattr("copilotkit_django.runners.database.CLAIM_SECONDS", 0.3)
        answers = [
            await alice.run(run_input(run="r2")),
            await alice.connect(run_input(run="r3")),
            await alice.ask("POST", "/agent/default/stop/t1"),
            await alice.ask("GET", "/threads/t1/messages"),
            await alice.ask("DELETE", "/threads/t1", {"agentId": "default"}),
        ]

    for answer in answers:
        assert (answer.status, answer.headers.get("Retry-After")) == (503, "5")
        assert answer.data["error"] == "store_unavailable"
        assert "could not connect" not in str(answer.data)
    away.clear()
    assert kinds((await alice.run(run_input(run="r4"))).events)[-1] == "RUN_FINISHED"


async def test_run__database_locked(runner, elsewhere, store):
    """A run waits for another writer that keeps the file to itself for a while."""
    agent = Staged()
    live = await start(runner, agent)
    follower = await follow(elsewhere)
    locked, done = threading.Event(), threading.Event()

    def lock():
        other = sqlite3.connect(connections[store].settings_dict["NAME"], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        locked.set()
        done.wait(5)
        other.execute("COMMIT")
        other.close()

    locking = asyncio.create_task(asyncio.to_thread(lock))
    await until_set(locked)
    agent.cue.set()
    await asyncio.sleep(0.5)
    assert not live.done()
    done.set()
    await locking

    assert kinds(await within(live))[-1] == "RUN_FINISHED"
    assert await within(follower) == await live


def _fail_while(away, runner):
    for name in ("select", "execute", "execute_many", "insert", "transaction"):
        function = getattr(runner.store, name)

        def call(*arguments, function=function, **options):
            if away.is_set():
                raise OperationalError("could not connect to server")
            return function(*arguments, **options)

        setattr(runner.store, name, call)


async def until_set(event):
    await within(asyncio.to_thread(event.wait, 5))


async def test_read__says_what_is_wrong_once(runner, caplog):
    """Why nothing can be read stands in the log, once until it can be."""
    away = threading.Event()
    _fail_while(away, runner)

    # Not by way of a request, with which the runner begins to read of its own accord.
    key = thread().key
    for _ in range(2):
        away.set()
        for _ in range(3):
            with pytest.raises(StoreDown):
                await runner.read(runner.store.head, key)
        away.clear()
        await runner.read(runner.store.head, key)

    assert caplog.text.count("The database cannot be read: could not connect") == 2


async def test_drain__query_that_hangs(make_runner, monkeypatch):
    """A server that stops does not wait for a query nobody will answer."""
    monkeypatch.setattr("copilotkit_django.runners.reader_threads.CLOSE_SECONDS", 0.1)
    runner = make_runner()
    answer = threading.Event()
    hanging = asyncio.create_task(runner.read(answer.wait, 60))
    await within(runner.read(list))

    await within(runner.drain())

    answer.set()
    await within(hanging)
