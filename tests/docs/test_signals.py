"""What the page on signals says is so."""

from __future__ import annotations

import logging
import logging.config
from types import SimpleNamespace

from django.core.cache import cache

from copilotkit_django.runners import InMemoryRunner
from copilotkit_django.signals import run_finished
from tests.talk import run_input, until

from .pages import Page

page = Page("how-to/signals.md")


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


@page("Know what runs")
async def test_receiver(project, alice):
    """The receiver adds up what the runs of a user have cost."""
    count_tokens = project["mysite.receivers"].count_tokens
    try:
        for total in (5, 7):
            count_tokens(
                user=SimpleNamespace(pk=7),
                outcome="finished",
                usage=[{"totalTokens": total}],
                duration=1.0,
            )
        assert await cache.aget("tokens-7") == 12
        assert run_finished.has_listeners(InMemoryRunner)
        answer = await alice.run(run_input())
        assert answer.status == 200
    finally:
        run_finished.disconnect(count_tokens)
        await cache.adelete("tokens-7")


@page("The log")
async def test_log(project, alice):
    """The logging configuration shows a line for each run."""
    logger = logging.getLogger("copilotkit.run")
    before = logger.level, logger.propagate, logger.handlers[:]
    logging.config.dictConfig(project.settings["LOGGING"])
    seen: list[str] = []
    (handler,) = logger.handlers
    handler.emit = lambda record: seen.append(handler.format(record))
    try:
        await alice.run(run_input())
        await until(lambda: bool(seen))
    finally:
        logger.level, logger.propagate, logger.handlers[:] = before
        logger.setLevel(before[0])

    assert seen[0].startswith("default: Run finished after ")
    assert seen[0].endswith(" 0 tokens")
