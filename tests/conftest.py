import asyncio
import inspect
import os

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
def no_task_left_behind(request: pytest.FixtureRequest) -> None:
    """Watch every coroutine test for tasks that outlive it."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_tasks_of_this_test")


@pytest.fixture
async def _tasks_of_this_test():
    """Fail a test whose tasks are still running a second after its other fixtures ended."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=1)
    if left:
        names = "\n".join(f"  {task!r}" for task in left)
        pytest.fail(f"tasks still running at the end of the test:\n{names}", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not services.missed:
        return
    terminalreporter.section("optional services that are not there")
    for name, count in sorted(services.missed.items()):
        service = services.SERVICES[name]
        terminalreporter.line(f"{service.title}: {count} skipped. To run them: {service.remedy}")
