"""One fresh runner per test, over each store there is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from copilotkit_django.runners import AgentRunner, InMemoryRunner
from copilotkit_django.runners.database import DatabaseRunner
from copilotkit_django.runners.store import Store
from tests.talk import SECONDS

from .stores import DATABASES, MEMORY, empty, made

#: Tests that ask for `store` run on all of these; `only(...)` narrows it down.
STORES = (MEMORY, *DATABASES)

#: Long enough for a busy machine to renew in time, short enough to be waited for.
LEASE = 2.0


@pytest.fixture(scope="session")
def _databases(
    django_db_setup, django_db_blocker, tmp_path_factory
) -> Iterator[Callable[[str], str]]:
    """The database of each kind, made when it is asked for first."""
    stack = contextlib.ExitStack()
    aliases: dict[str, str] = {}

    def find(kind: str) -> str:
        if kind not in aliases:
            with django_db_blocker.unblock():
                folder = tmp_path_factory.mktemp(kind)
                aliases[kind] = stack.enter_context(made(kind, folder))
        return aliases[kind]

    yield find
    with django_db_blocker.unblock():
        stack.close()


@pytest.fixture(params=STORES)
def store(request, _databases, django_db_blocker) -> Iterator[str]:
    """The alias of an empty database, or "memory". Nothing is left open behind the test."""
    if request.param == MEMORY:
        yield MEMORY
        return
    alias = _databases(request.param)
    with django_db_blocker.unblock():
        before = set(threading.enumerate())
        yield alias
        connections[alias].close()
        ours = [
            thread
            for thread in set(threading.enumerate()) - before
            if thread.name.startswith("copilotkit")
        ]
        for thread in ours:
            # One that has nothing more to do may still be on its way out.
            thread.join(SECONDS)
        left = {thread.name for thread in ours if thread.is_alive()}
        # A test may have had the server close connections that a pool still holds.
        Store(alias).disconnect()
        empty(alias)
        connections[alias].close()
        assert not left, f"threads still running at the end of the test: {left}"


@pytest.fixture
async def make_runner(store) -> Any:
    """Make runners on the store: each is to the others what another process would be."""
    runners: list[AgentRunner] = []

    def make(**options: Any) -> AgentRunner:
        if store == MEMORY:
            runner: AgentRunner = InMemoryRunner(**options)
        else:
            runner = DatabaseRunner(using=store, **{"lease_seconds": LEASE, **options})
        runners.append(runner)
        return runner

    yield make
    for runner in runners:
        await runner.drain()


@pytest.fixture
def runner(make_runner) -> AgentRunner:
    return make_runner()


@pytest.fixture
def elsewhere(make_runner) -> AgentRunner:
    """A second runner on the same store, as another process has it."""
    return make_runner()
