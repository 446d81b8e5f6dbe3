"""What the page on limits says is so."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from django.core.cache import cache

from copilotkit_django.budgets import Budget, budgets_from, callable_from
from copilotkit_django.conf import Options
from copilotkit_django.hooks import RequestContext
from copilotkit_django.rates import Rate, rates_from

from .pages import DOCS, blocks

PAGE = "how-to/limits.md"
PAGE_TEXT = (DOCS / PAGE).read_text(encoding="utf-8")


@pytest.fixture
def code():
    """The Python blocks of the page, each run by itself."""
    cache.clear()
    namespaces = []
    for block in blocks(PAGE):
        namespace = {}
        block.run(namespace)
        namespaces.append(namespace)
    return namespaces


def test_settings__usable(code):
    """What the page writes into the settings is what they take."""
    small, anonymous, by_plan, _, tokens, by_user, named = code

    assert rates_from(small["COPILOTKIT"]["RATE_LIMITS"])["run"] == (Rate("30/m"),)
    limits = rates_from(anonymous["COPILOTKIT"]["RATE_LIMITS"])["run"]
    assert limits == (Rate("10/m"), Rate("60/m", "ip"))
    assert rates_from({"run": by_plan["by_plan"]})
    day, month = budgets_from(tokens["COPILOTKIT"]["TOKEN_BUDGETS"])
    assert (day, month) == (Budget(200_000, 86_400), Budget(2_000_000, 30 * 86_400))
    assert callable_from(by_user["by_plan"])
    assert named["COPILOTKIT"]["TOKEN_BUDGETS"] == "mysite.budgets.by_plan"


@pytest.mark.parametrize(("is_staff", "expected"), [(True, ()), (False, (Budget(50_000, 86_400),))])
def test_budget__by_plan(code, is_staff, expected):
    """So does the one for budgets."""
    asked = code[5]["by_plan"](None, SimpleNamespace(is_staff=is_staff))

    assert budgets_from(asked) == expected


@pytest.mark.parametrize(("is_staff", "rate"), [(True, "300/h"), (False, "20/h")])
def test_rate__by_plan(code, is_staff, rate):
    """The callable on the page tells users apart."""
    request = SimpleNamespace()
    request._copilotkit = RequestContext(None, "/", user=SimpleNamespace(is_staff=is_staff))

    assert code[2]["by_plan"]("copilotkit.run", request) == rate


def test_table__of_defaults():
    """The table has the defaults of the settings."""
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+)( MiB)? ", PAGE_TEXT, re.MULTILINE)
    shown = {
        name.lower(): int(number.replace(",", "")) * (1024 * 1024 if unit else 1)
        for name, number, unit in rows
    }

    assert len(shown) == 8
    assert shown == {name: getattr(Options(), name) for name in shown}
