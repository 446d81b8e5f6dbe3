"""What RATE_LIMITS takes, and what it says of everything else."""

from __future__ import annotations

import re

import pytest

from copilotkit_django.rates import Rate, operation_of, rates_from
from copilotkit_django.routes import PATTERNS


def per_user(group, request):
    return "5/m"


GOOD = [
    ({}, {}),
    ({"run": "30/m"}, {"run": (Rate("30/m"),)}),
    ({"suggest": {"rate": "1/s", "key": "ip"}}, {"suggest": (Rate("1/s", "ip"),)}),
    (
        {"threads": ["30/m", {"rate": "300/2h", "key": "header:x-team"}]},
        {"threads": (Rate("30/m"), Rate("300/2h", "header:x-team"))},
    ),
    ({"run": per_user}, {"run": (Rate(per_user),)}),
    ({"run": f"{__name__}.per_user"}, {"run": (Rate(per_user),)}),
    (
        {"run": {"rate": "0/d", "key": f"{__name__}.per_user"}},
        {"run": (Rate("0/d", per_user),)},
    ),
    ({"info": "10/5"}, {"info": (Rate("10/5"),)}),
]

BAD = [
    ("30/m", "not a mapping"),
    ({"runs": "30/m"}, "Did you mean 'run'?"),
    ({7: "30/m"}, "7 cannot be limited"),
    ({"run": "30"}, "no rate such as '30/m'"),
    ({"run": "30/"}, "no rate"),
    ({"run": "30/0m"}, "no rate"),
    ({"run": "30/month"}, "no rate"),
    ({"run": "0.5/m"}, "no rate"),
    ({"run": 30}, "no rate"),
    ({"run": None}, "no rate"),
    ({"run": {"key": "ip"}}, "has no 'rate'"),
    ({"run": {"rate": "30/m", "by": "ip"}}, "'by' is neither"),
    ({"run": {"rate": "30/m", "key": "user"}}, "the key 'user'"),
    ({"run": {"rate": "30/m", "key": "header:"}}, "the key 'header:'"),
    ({"run": ["30/m", "x"]}, "'x' is no rate"),
    ({"run": "tests.nowhere.rate"}, "cannot be imported"),
]


@pytest.mark.parametrize(("value", "limits"), GOOD)
def test_rates__good(value, limits):
    """A rate, a rate with a key, a callable, a path of one, or several of them."""
    assert rates_from(value) == limits


@pytest.mark.parametrize(("value", "sentence"), BAD)
def test_rates__bad(value, sentence):
    """The sentence says which operation, and what would do."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        rates_from(value)


def test_operations__those_of_the_route_table():
    """Every operation has the name it is limited by, but for those that cost nothing."""
    free = {p.name for p in PATTERNS if operation_of(p.name) is None}

    assert free == {
        "inspector/metadata",
        "inspector/learning",
        "cpk-debug-events",
        "memories/list",
        "memories/recall",
        "memories/subscribe",
        "memories/mutate",
        "annotate",
    }
