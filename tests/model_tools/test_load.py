"""Synchronous tools that use the ORM, many at a time, on databases that tell threads apart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections

from copilotkit_django import ToolContext, tool
from copilotkit_django.agents import RunContext, RunInput
from copilotkit_django.agents.tools import ToolSession
from tests.planner.models import Project, Task
from tests.runners.stores import made
from tests.talk import SECONDS, run_input, until, within
from tests.unit.agents.tools.calling import not_before

from .conftest import Desk, tasks

#: How many calls are made at a time.
CALLS = max(40, round(200 * float(os.environ.get("FUZZ", "1"))))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request, django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[str]:
    """A database with the planner's tables, and no connection to it yet."""
    with django_db_blocker.unblock(), contextlib.ExitStack() as stack:
        folder = tmp_path_factory.mktemp("tools")
        alias = stack.enter_context(made(request.param, folder, name="tools"))
        connections[alias].close()
        yield alias


@pytest.fixture
def _unblocked(django_db_blocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


@pytest.fixture
async def desk(store, _unblocked) -> Desk:
    """Somebody whose planner is in that database."""

    def prepare() -> Any:
        Task.objects.using(store).all().delete()
        user, _ = User.objects.using(store).get_or_create(username="ada", is_superuser=True)
        connections[store].close()
        return user

    user = await sync_to_async(prepare)()
    return Desk(user, planner(store))


def planner(store: str, **options: Any) -> Any:
    return tasks(
        **{
            "queryset": lambda context: Task.objects.using(store).filter(owner=context.user),
            "related": {"project": lambda context: Project.objects.using(store)},
            **options,
        }
    )


def connections_to(store: str) -> int:
    """How many connections this process has to a database, this thread's not counted."""
    connection = connections[store]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND backend_type = 'client backend'"
            )
            count = cursor.fetchone()[0] - 1
        connection.close()
        return count
    connection.close()
    name, open_files = str(connection.settings_dict["NAME"]), 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            open_files += os.readlink(f"/proc/self/fd/{descriptor}") == name
    return open_files


async def no_connection_left(store: str) -> None:
    count = sync_to_async(connections_to)
    async with asyncio.timeout(SECONDS):
        while await count(store):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)


async def calls_of(desk: Desk, name: str, listing: list[dict[str, Any]]) -> list[Any]:
    """The results of many calls in one run, all at a time."""
    [made] = [made for made in desk.tools if made.name == name]
    run = RunContext(RunInput.from_wire(run_input()), agent_id="default", user=desk.user)
    session = ToolSession(run)
    return await within(
        asyncio.gather(
            *(
                made.call(arguments, session.context(f"call-{n}", approved=True))
                for n, arguments in enumerate(listing)
            )
        ),
        60,
    )


async def test_load__all_are_made(desk, store):
    """Hundreds of calls at a time are all made, and leave no connection behind."""
    results = await calls_of(
        desk, "create_task", [{"title": f"Task {number}"} for number in range(CALLS)]
    )

    assert [result.content for result in results if result.error] == []
    assert await Task.objects.using(store).acount() == CALLS
    found = await calls_of(desk, "search_task", [{"page": n % 3 + 1} for n in range(CALLS)])
    assert not any(result.error for result in found)
    await no_connection_left(store)


async def test_load__one_of_a_kind(desk, store):
    """Of many that make the same thing at the same moment, one does; the others are told."""
    results = await calls_of(desk, "create_task", [{"title": "Only one"}] * 20)

    assert sorted(result.error for result in results) == [False] + [True] * 19
    said = {result.content for result in results if result.error}
    assert all("already exists" in text or "contradicts another task" in text for text in said)
    assert await Task.objects.using(store).acount() == 1
    await no_connection_left(store)


async def test_load__one_row(desk, store):
    """Changes of different fields at the same moment do not undo each other."""
    task = await desk.do("create_task", title="Shared")
    changes = [
        {"notes": "all"},
        {"due": "2026-12-24"},
        {"effort": 2},
        {"priority": 2},
        {"percent": 50},
        {"tags": ["x"]},
    ]

    results = await calls_of(
        desk, "change_task", [{"id": task["id"], "changes": change} for change in changes * 3]
    )

    assert [result.content for result in results if result.error] == []
    stored = await desk.do("get_task", id=task["id"])
    assert (
        stored.items()
        >= {
            "notes": "all",
            "due": "2026-12-24",
            "effort": "2.00",
            "priority": 2,
            "percent": 50,
            "tags": ["x"],
        }.items()
    )


async def test_timeout__rolled_back(desk, store, monkeypatch):
    """A call that was given up changes nothing afterwards, and leaves its connection to nobody."""
    begun, release, through = threading.Event(), threading.Event(), threading.Event()
    not_before(begun, monkeypatch)

    def defaults(context: ToolContext) -> dict[str, Any]:
        begun.set()
        assert release.wait(SECONDS)
        through.set()
        return {"owner": context.user}

    desk.tools = planner(store, defaults=defaults, timeout=0.5)
    try:
        said = await desk.fail("create_task", title="Too late")
        assert "was given up" in said
        assert begun.is_set()
    finally:
        release.set()
    await until(through.is_set)
    await no_connection_left(store)

    assert await Task.objects.using(store).acount() == 0


async def test_tool__leaves_a_transaction_open(desk, store):
    """A tool that fails between begin and commit spoils nothing for the next one on its thread."""

    @tool
    def careless() -> str:
        connections[store].set_autocommit(False)
        Task.objects.using(store).create(owner=desk.user, title="Half done")
        raise RuntimeError("forgot the rest")

    desk.tools = [*desk.tools, careless]
    for _ in range(3):
        assert "Incident" in await desk.fail("careless")

    await desk.do("create_task", title="Whole")
    titles = [task.title async for task in Task.objects.using(store)]
    assert titles == ["Whole"]
    await no_connection_left(store)
