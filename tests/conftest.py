import asyncio
import contextlib
import inspect
import os
from typing import Any

import hypothesis
import pytest
from django.db import connection

from tests import services

# FUZZ scales how many examples a property test tries: FUZZ=20 for a long search at a workstation.
# On CI the same examples come every time, so that a change fails only for what it changed.
hypothesis.settings.register_profile(
    "copilotkit",
    max_examples=max(5, round(100 * float(os.environ.get("FUZZ", "1")))),
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("copilotkit")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            services.require(name)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the test database in a file: threads sharing one in memory do not wait for locks."""
    name = tmp_path_factory.mktemp("database") / "tests.sqlite3"
    connection.settings_dict["TEST"]["NAME"] = str(name)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> None:
    """Watch every coroutine test for tasks and connections that outlive it."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_loop_of_this_test")


@pytest.fixture
def closes_connections() -> bool:
    """Whether connections can be closed by those who open them."""
    return True


@pytest.fixture
async def _loop_of_this_test(closes_connections: bool):
    """Fail a test if something of its own stays on its loop when its other fixtures have ended.

    Forgotten connections are told of by a warning when they are collected, in any later test.
    """

    def running() -> set[Any]:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        return tasks | _connections() if closes_connections else tasks

    before = running()
    yield
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while running() - before:  # noqa: ASYNC110 - connections tell nobody
                await asyncio.sleep(0.01)
    if left := running() - before:
        names = "\n".join(f"  {each!r}" for each in left)
        pytest.fail(f"left on the loop at the end of the test:\n{names}", pytrace=False)


def _connections() -> set[asyncio.BaseTransport]:
    """The connections from which or to which this loop moves bytes."""
    watched = asyncio.get_running_loop()._selector.get_map().values()
    handles = [handle for key in watched for handle in key.data if handle]
    owners = [getattr(handle._callback, "__self__", None) for handle in handles]
    return {each for each in owners if isinstance(each, asyncio.BaseTransport)}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not services.missed:
        return
    terminalreporter.section("optional services that are not there")
    for name, count in sorted(services.missed.items()):
        service = services.SERVICES[name]
        terminalreporter.line(f"{service.title}: {count} skipped. To run them: {service.remedy}")
