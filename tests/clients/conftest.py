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
FAMILY_SECONDS = 60

CLIENTS = ("core", "agui-0", "agui-1")
#: Where threads are kept, and the server that serves them.
SERVED = {"memory": "daphne", "database": "uvicorn"}

Play = Callable[..., Any]
Families = Callable[[str, str], dict[str, Any]]


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
    servers: dict[str, Server] = {}
    played: dict[tuple[str, str], dict[str, Any]] = {}

    def start(kept: str) -> Server:
        database = tmp_path_factory.mktemp("clients") / "threads.sqlite3"
        return Server(SERVED[kept], str(database) if kept == "database" else None)

    def family(kept: str, name: str) -> dict[str, Any]:
        if kept not in servers:
            servers[kept] = start(kept)
        if (kept, name) not in played:
            command = [node, "drive.mjs", name, json.dumps(servers[kept].urls)]
            result = subprocess.run(
                command, cwd=packages.HERE, capture_output=True, text=True, timeout=FAMILY_SECONDS
            )
            assert result.returncode == 0, result.stderr
            played[kept, name] = json.loads(result.stdout)
        return played[kept, name]

    yield family
    exits = [server.stop() for server in servers.values()]
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
