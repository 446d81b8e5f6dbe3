"""TOKEN_BUDGETS: what it may say, and which window a moment falls into."""

from __future__ import annotations

import pytest

from copilotkit_django.budgets import Budget, Window, budgets_from, callable_from
from copilotkit_django.conf_values import check_budgets
from copilotkit_django.exceptions import BudgetSpent
from tests.talk import kinds

DAY = 24 * 60 * 60


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ("200000/d", (Budget(200_000, DAY),)),
        ("200_000/d", (Budget(200_000, DAY),)),
        ("5/10m", (Budget(5, 600),)),
        (["10/s", "1_000_000/30d"], (Budget(10, 1), Budget(1_000_000, 30 * DAY))),
        ([], ()),
    ],
)
def test_budgets(value, expected):
    """Budgets are written like rates."""
    assert budgets_from(value) == expected
    assert check_budgets(value) is None


@pytest.mark.parametrize(
    "value",
    [0, 5, "5", "5/w", "0/d", "5/0d", "-1/d", "1.5/d", "5 / d", ["5/d", None], {"run": "5/d"}],
)
def test_budgets__wrong(value):
    """What is none is named, with the form they have."""
    assert "is no budget such as '200_000/d'" in check_budgets(value)


def test_budgets__one_period_twice():
    """Two budgets for one period cannot both be meant."""
    assert "names one period twice" in check_budgets(["1/d", "2/24h"])


def test_callable():
    """It may be a callable or name one; what cannot be imported or called is named."""
    assert callable_from("tests.talk.kinds") is kinds
    assert check_budgets("tests.talk.kinds") is None
    assert "cannot be imported" in check_budgets("tests.agents.nobody")
    assert "is not callable" in check_budgets("tests.settings.DEBUG")


@pytest.mark.parametrize(
    ("now", "ends"), [(0, DAY), (1, DAY), (DAY - 0.5, DAY), (DAY, 2 * DAY), (DAY + 1.5, 2 * DAY)]
)
def test_window(now, ends):
    """A window begins with its first moment; days are those of UTC."""
    assert Budget(1, DAY).window(now) == Window(DAY, ends)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (61, "2 minutes"), (7200, "2 hours")],
)
def test_error__when(seconds, words):
    """The answer says when there are more, to programs and to people."""
    error = BudgetSpent(200_000, seconds)

    assert error.headers == {"Retry-After": str(seconds)}
    assert str(error) == (
        f"You have used the 200,000 tokens you may use for now. Try again in {words}."
    )
