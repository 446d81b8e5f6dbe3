from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.servers import Servers
from tests.chaos.stores import Redis, Store, redis_server, store_of
from tests.chaos.streams import Talk

LONG = os.environ.get("CHAOS") == "long"

#: The figures of each row, in the order they came.
_figures: list[dict[str, Any]] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(3600 if LONG else 300))


@pytest.fixture
def rounds() -> Callable[..., int]:
    """How often a row is played: seldom in CI, by hand as often as its promise is stated for."""

    def rounds(long: int, short: int = 5) -> int:
        return long if LONG else short

    return rounds


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Note the figures of this row for the end of the report."""

    def figures(**values: Any) -> None:
        row = request.node.name.removeprefix("test_")
        _figures.append({"row": row, **{k: _short(v) for k, v in values.items()}})

    return figures


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(each) for each in value]
    return round(value, 2) if isinstance(value, float) else value


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    talk = Talk()
    yield talk
    await talk.close()


@pytest.fixture
def servers(
    request: pytest.FixtureRequest, tmp_path: Path, make_store: Callable[..., Store]
) -> Iterator[Servers]:
    """Starts servers; whatever still runs at the end of the test is killed, its store after it."""
    servers = Servers(tmp_path)
    request.node.stash[_SERVERS] = servers
    yield servers
    servers.kill_all()


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Makes databases that are dropped at the end of the test."""
    with ExitStack() as stack:
        yield lambda kind, query="": stack.enter_context(store_of(kind, tmp_path, query))


@pytest.fixture
def redis() -> Iterator[Redis]:
    with redis_server() as redis:
        yield redis


_SERVERS = pytest.StashKey[Servers]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.failed and _SERVERS in item.stash:
        report.sections += item.stash[_SERVERS].report()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _figures:
        return
    terminalreporter.section("figures of the chaos rows")
    for figures in _figures:
        terminalreporter.line(json.dumps(figures))
