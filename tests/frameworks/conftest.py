from __future__ import annotations

import gc
import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from copilotkit_django.agents import Agent
from copilotkit_django.testing import FakeLLM
from tests.frameworks import tools
from tests.frameworks.case import SCENARIOS, Case
from tests.frameworks.table import Table
from tests.integration.conftest import alice, bob, serve  # noqa: F401

HERE = Path(__file__).parent

table = pytest.StashKey[Table]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None):
    """Clients that nobody can close are collected at the end of each module, where nobody minds.

    Not by a fixture: as long as one is there, so are those of the module's last test.
    """
    result = yield
    if HERE in item.path.parents and (nextitem is None or nextitem.path != item.path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return result


@pytest.fixture
def closes_connections() -> bool:
    """Those of some clients cannot."""
    return False


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    tools.threads.clear()
    tools.wiped.clear()
    with FakeLLM() as llm:
        yield llm


@pytest.fixture
async def host(case: Case, llm: FakeLLM, serve) -> AsyncIterator[Callable[[str], Agent]]:  # noqa: F811
    """Put the framework's agent for a scenario behind our endpoint."""
    hosted: list[Agent] = []

    def put(scenario: str) -> Agent:
        agent = case.agent(llm, scenario)
        hosted.append(agent)
        serve(agents={"default": agent}, stop_grace_seconds=5)
        return agent

    yield put
    for agent in hosted:
        await case.close(agent)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[table] = Table()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    marker = item.get_closest_marker("scenario")
    if marker is not None and (report.when == "call" or report.outcome != "passed"):
        item.config.stash[table].note(
            item.callspec.params["case"],
            marker.args[0],
            report,  # type: ignore[attr-defined]
        )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What was found out is written down; a table that said something else fails the build."""
    if session.config.stash[table].write():
        print("\n\ndocs/reference/frameworks.md did not say what these tests found. It does now.")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Scenarios a framework cannot play must fail, for the reason given."""
    for item in items:
        marker = item.get_closest_marker("scenario")
        if marker is None:
            continue
        assert marker.args[0] in SCENARIOS
        case: Case = item.callspec.params["case"]  # type: ignore[attr-defined]
        required = "REQUIRE_FRAMEWORKS" in os.environ and not case.exclusive
        if (missing := case.missing()) and not required:
            item.add_marker(pytest.mark.skip(reason=f"{missing} is not installed"))
        elif reason := case.cannot.get(marker.args[0]):
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))
