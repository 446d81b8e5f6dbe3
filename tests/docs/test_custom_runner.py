"""The runner on the page is the one that passes the recorded cases."""

from __future__ import annotations

from tests.custom_runner.test_cases import RUNNER

from .pages import blocks


def test_page__shows_the_tested_runner():
    """The block on the page and the tested module are the same text."""
    runner, settings = blocks("how-to/custom-runner.md")

    _, _, shown = runner.code.partition("\n")
    assert shown.strip() == RUNNER.read_text(encoding="utf-8").strip()
    assert '"mysite.runner.CacheRunner"' in settings.code
