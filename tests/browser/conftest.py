from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests import services

from .demo import Demo, migrated_database
from .visitor import Visitor

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Those of the running test, for what a failure report shows.
visitors: list[Visitor] = []
demos: list[Demo] = []


@pytest.fixture(scope="session")
def chromium() -> str:
    services.require("playwright")
    return services.require("chromium")


@pytest.fixture(scope="session")
def start_demo(
    chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Demo]]:
    """Start a site of its own for tests that break it; all of them end with the test run."""
    folder = tmp_path_factory.mktemp("demo")
    database = migrated_database(folder)
    with ExitStack() as running:

        def start(**options: Any) -> Demo:
            demo = Demo(folder / str(len(demos)), database, **options)
            demos.append(demo)
            return running.enter_context(demo)

        yield start
    demos.clear()


@pytest.fixture(scope="session")
def site(start_demo: Callable[..., Demo]) -> Demo:
    """The site that all tests share. Every visitor is a stranger to the others there."""
    return start_demo()


@pytest.fixture(scope="session")
def unhurried(start_demo: Callable[..., Demo]) -> Demo:
    """One for tests in which something happens in the middle of an answer."""
    return start_demo(DJANGO_SETTINGS_MODULE="tests.browser.unhurried")


# Not for the whole session: while it is open, playwright keeps an event loop running in this
# thread, where asynchronous tests of other modules want theirs.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visitor]]:
    """Bring a visitor to a site, the shared one by default.

    Whatever a test is about: no page may fail unprovoked, or ask another host for anything.
    """

    def visit(site: Demo | None = None, **context: Any) -> Visitor:
        site = site or request.getfixturevalue("site")
        visitors.append(Visitor(browser, site.url, **context))
        return visitors[-1]

    yield visit
    try:
        for visitor in visitors:
            assert visitor.unexpected_complaints() == []
            assert visitor.foreign_requests() == []
    finally:
        for visitor in visitors:
            visitor.context.close()
        visitors.clear()


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    """Somebody who comes to the shared site for the first time."""
    return visit()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed and report.when == "call":
        folder = item.config._tmp_path_factory.mktemp("screenshots")  # type: ignore[attr-defined]
        for number, visitor in enumerate(visitors, start=1):
            file = folder / f"{item.name}-{number}.png"
            if not visitor.page.is_closed():
                visitor.page.screenshot(path=file)
            report.sections.append((f"visitor {number}, shown in {file}", visitor.report()))
        report.sections += [(f"server at {demo.url}", demo.log()) for demo in demos]
    return report
