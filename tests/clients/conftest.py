from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import services

from . import packages

START_SECONDS = 60
STOP_SECONDS = 10
#: Longer than drive.mjs gives a scenario.
FAMILY_SECONDS = 60

CLIENTS = ("core", "agui-0", "agui-1")
Play = Callable[..., Any]


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the official clients installed."""
    program = services.require("node")
    packages.install()
    services.require("official-clients")
    return program


@pytest.fixture(scope="session")
def urls(node: str) -> Iterator[dict[str, str]]:
    """A server process of this test run, and where its endpoints are."""
    command = [sys.executable, "-m", "tests.clients.serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        # A server that never gets ready would leave the read below waiting.
        watchdog = threading.Timer(START_SECONDS, server.kill)
        watchdog.start()
        try:
            line = server.stdout.readline()
            watchdog.cancel()
            assert line, "The server ended before it was ready."
            yield json.loads(line)["urls"]
            server.terminate()
            assert server.wait(STOP_SECONDS) == 0
        finally:
            watchdog.cancel()
            server.kill()


@pytest.fixture(scope="session")
def families(node: str, urls: dict[str, str]) -> Callable[[str], dict[str, Any]]:
    """What came of all scenarios of a family, which are played together and once."""
    played: dict[str, dict[str, Any]] = {}

    def family(name: str) -> dict[str, Any]:
        if name not in played:
            command = [node, "drive.mjs", name, json.dumps(urls)]
            result = subprocess.run(
                command, cwd=packages.HERE, capture_output=True, text=True, timeout=FAMILY_SECONDS
            )
            assert result.returncode == 0, result.stderr
            played[name] = json.loads(result.stdout)
        return played[name]

    return family


@pytest.fixture
def play(families: Callable[[str], dict[str, Any]]) -> Play:
    """What a client ended up with after `family/scenario`, without a word of complaint.

    `complaints=True` returns what it wrote to the console, too.
    """

    def play(scenario: str, client: str, *, complaints: bool = False) -> Any:
        family, name = scenario.split("/")
        outcome = families(family)[name][client]
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
