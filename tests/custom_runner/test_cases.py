"""A runner somebody wrote for their own project answers the recorded cases like ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.case import CASES, EXTRA_CASES, Case, load_cases
from tests.conformance.replay import counts, replay, report
from tests.conformance.started import started

FAMILIES = ("run", "connect", "stop")

RUNNER = Path(__file__).with_name("runner.py")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The project, in a process of its own."""
    with started("tests.custom_runner.serve") as ready:
        yield ready["port"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("folder", [CASES, EXTRA_CASES], ids=["cases", "extra"])
def test_custom_runner__recorded_cases(port: int, folder: Path) -> None:
    """Every recorded case of running, connecting and stopping agrees, or differs as intended."""
    cases = [case for case in load_cases(folder=folder) if is_of_runs(case)]

    results = asyncio.run(replay(cases, {"multi": port}))

    found = counts(results)
    print(*report(results), json.dumps(found), sep="\n")
    assert (found["differs"], found["skipped"]) == (0, 0)
    assert found["same"] > 25


def is_of_runs(case: Case) -> bool:
    """Whether a case asks for nothing but what every runner has.

    Of the extra cases many look at the result by the thread routes, or have settings of their own.
    """
    return (
        case.family in FAMILIES
        and case.profile == "multi"
        and all("/agent/" in request.path for request in case.requests)
    )


def test_custom_runner__short() -> None:
    """What the page says about the effort is true."""
    assert len(RUNNER.read_text(encoding="utf-8").splitlines()) < 60
