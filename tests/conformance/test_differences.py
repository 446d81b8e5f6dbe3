"""What differs from the reference is written down for users."""

from __future__ import annotations

from pathlib import Path

import pytest

from .case import CASES, EXTRA_CASES, Case, load_cases

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "differences.md"

DIFFERENT = [
    case
    for folder in (CASES, EXTRA_CASES)
    for case in load_cases(folder=folder)
    if case.intended or case.peer_quirk
]


@pytest.mark.parametrize("case", DIFFERENT, ids=lambda case: case.name)
def test_differences__case_that_may_differ(case: Case) -> None:
    """Every case in which we mean to differ is named on the page that says why."""
    assert f"`{case.name}`" in PAGE.read_text(encoding="utf-8")
