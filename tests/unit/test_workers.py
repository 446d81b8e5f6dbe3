"""Long-lived worker threads: runs that share one, and its database connection."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection

from copilotkit_django import workers
from copilotkit_django.workers import WorkerThreads, worker_thread
from tests.talk import within

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Everybody is handed the same thread."""
    monkeypatch.setattr(workers, "_background", WorkerThreads("alone", 1))


async def count():
    async with worker_thread():
        return await User.objects.acount()


async def underlying():
    """The driver's connection on the thread; `None` if there is none."""
    async with worker_thread():
        return await sync_to_async(lambda: connection.connection)()


async def test_connection__in_the_middle_of_reading():
    """A run that reads row by row goes on, whoever comes and goes on its thread."""
    await User.objects.abulk_create([User(username=f"user{n}") for n in range(300)])
    reading, cue = asyncio.Event(), asyncio.Event()

    async def read():
        names = []
        async with worker_thread():
            async for user in User.objects.order_by("pk").aiterator(chunk_size=100):
                names.append(user.username)
                if len(names) == 50:
                    reading.set()
                    await cue.wait()
        return names

    reader = asyncio.create_task(read())
    await within(reading.wait())
    assert await within(count()) == 300
    assert await within(count()) == 300
    cue.set()

    assert len(await within(reader)) == 300


async def test_connection__closed_behind_the_last():
    """Connections are closed when the site says so, once nobody uses the thread."""
    await count()

    assert await underlying() is None


async def test_connection__broken_under_others():
    """A connection that is broken is replaced, though others have used it."""
    async with worker_thread():
        await User.objects.acount()
        before = await sync_to_async(lambda: connection.connection)()
        await sync_to_async(lambda: setattr(connection, "is_usable", lambda: False))()

        try:
            assert await count() == 0
        finally:
            await sync_to_async(lambda: delattr(connection, "is_usable"))()

        assert await sync_to_async(lambda: connection.connection)() is not before
