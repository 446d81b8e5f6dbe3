"""The page of settings is the one that the settings make."""

from __future__ import annotations

import pytest

from .settings_page import PAGE, page, shown


def test_page__up_to_date():
    """The committed page says what the code says. If this fails: make docs, and commit."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (25 * 1024 * 1024, "25 * 1024 * 1024"),
        (600, "600"),
        (0, "0"),
        (True, "True"),
        ("session", '"session"'),
        ([], "[]"),
    ],
)
def test_default__as_written(value, text):
    """Defaults look as in a settings module, sizes in a form people can read."""
    assert shown(value) == text
