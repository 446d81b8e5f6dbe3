"""Our server answers the recorded requests as the reference did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from .__main__ import SETUPS
from .case import EXTRA_CASES, load_cases
from .replay import Result, counts, replay, report
from .started import started


@pytest.fixture(scope="module", params=SETUPS, ids=" on ".join)
def ports(request: pytest.FixtureRequest) -> Iterator[dict[str, int]]:
    """A server of its own, one port per profile."""
    runner, server = request.param
    with started("tests.conformance.serve", "--server", server, "--runner", runner) as ready:
        yield ready["ports"]


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
