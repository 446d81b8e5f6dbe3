"""Our server answers the recorded requests as the reference did."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from .case import EXTRA_CASES, load_cases
from .replay import Result, counts, replay, report

START_SECONDS = 60
STOP_SECONDS = 10


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def ports(request: pytest.FixtureRequest) -> Iterator[dict[str, int]]:
    """A server of its own, one port per profile."""
    command = [sys.executable, "-m", "tests.conformance.serve", "--server", request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        # A server that never gets ready would leave the read below waiting.
        watchdog = threading.Timer(START_SECONDS, server.kill)
        watchdog.start()
        try:
            line = server.stdout.readline()
            watchdog.cancel()
            assert line, "The server ended before it was ready."
            yield json.loads(line)["ports"]
            server.terminate()
            assert server.wait(STOP_SECONDS) == 0
        finally:
            watchdog.cancel()
            server.kill()


@pytest.fixture(scope="module")
def results(ports: dict[str, int]) -> list[Result]:
    return asyncio.run(replay([*load_cases(), *load_cases(folder=EXTRA_CASES)], ports))


@pytest.mark.timeout(600)
def test_server__recorded_requests(results: list[Result]) -> None:
    """Every case agrees with the reference, or differs as we intend."""
    found = counts(results)
    print(*report(results), json.dumps(found), sep="\n")

    assert found["differs"] == 0
    assert found["skipped"] == 0
    assert found["same"] > 0
