from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import services

from . import packages
from .server import Server

#: Longer than drive.mjs gives a scenario.
FAMILY_SECONDS = 100

CLIENTS = ("core", "agui-0", "agui-1")
#: Where threads are kept, and the server that serves them.
SERVED = {"memory": "daphne", "database": "uvicorn"}

Play = Callable[..., Any]
Families = Callable[[str, str], dict[str, Any]]


def once(make: Callable[..., Any]) -> Callable[..., Any]:
    """Remember what came of a call, a failure too: nobody waits for the same one again."""
    known: dict[tuple[str, ...], Any] = {}

    def remembered(*arguments: str) -> Any:
        if arguments not in known:
            try:
                known[arguments] = make(*arguments)
            except Exception as error:
                known[arguments] = error
        if isinstance(known[arguments], Exception):
            raise known[arguments]
        return known[arguments]

    return remembered


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the official clients installed."""
    program = services.require("node")
    packages.install()
    services.require("official-clients")
    return program


@pytest.fixture(scope="session")
def families(node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Families]:
    """What came of all scenarios of a family, which are played together and once."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        servers.append(Server(*arguments))
        return servers[-1]

    @once
    def urls(kept: str) -> str:
        if kept == "memory":
            neighbour = server = start(SERVED[kept])
        else:
            database = str(tmp_path_factory.mktemp("clients") / "threads.sqlite3")
            server = start(SERVED[kept], database)
            neighbour = start(SERVED[kept], database)
        return json.dumps({**server.urls, "next_door": neighbour.urls["usual"]})

    @once
    def family(kept: str, name: str) -> dict[str, Any]:
        driven = subprocess.run(
            [node, "drive.mjs", name, urls(kept)],
            cwd=packages.HERE,
            capture_output=True,
            text=True,
            timeout=FAMILY_SECONDS,
        )
        assert driven.returncode == 0, f"exit {driven.returncode}: {driven.stderr}"
        return json.loads(driven.stdout)

    yield family
    exits = [server.stop() for server in servers]
    assert not any(exits)


@pytest.fixture(params=SERVED)
def play(families: Families, request: pytest.FixtureRequest) -> Play:
    """What a client ended up with after `family/scenario`, without a word of complaint.

    `complaints=True` returns what it wrote to the console, too.
    """

    def play(scenario: str, client: str, *, complaints: bool = False) -> Any:
        family, name = scenario.split("/")
        outcome = families(request.param, family)[name][client]
        assert "failure" not in outcome, "\n".join([outcome["failure"], *outcome["complaints"]])
        if complaints:
            return outcome["seen"], outcome["complaints"]
        assert outcome["complaints"] == []
        return outcome["seen"]

    return play


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """Each official client in turn."""
    return request.param
