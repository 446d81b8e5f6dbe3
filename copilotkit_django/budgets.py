"""The TOKEN_BUDGETS setting: how many tokens an owner may use in which time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.utils.module_loading import import_string

#: So many tokens, per so many of a unit: the form of RATE_LIMITS, with underscores if you like.
_BUDGET = re.compile(r"([1-9][\d_]*)/([1-9]\d*)?([smhd])")

_SECONDS = {"s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}

FORM = "such as '200_000/d' (per second, minute, hour, day: s, m, h, d; '1_000_000/30d')"


class Window(NamedTuple):
    """A stretch of time that tokens are counted in; ``ends`` in seconds since the epoch."""

    period: int
    ends: int


@dataclass(frozen=True, slots=True)
class Budget:
    """So many tokens in each window of ``period`` seconds. Days are those of UTC."""

    tokens: int
    period: int

    def window(self, now: float) -> Window:
        """The window a moment falls into."""
        return Window(self.period, (int(now) // self.period + 1) * self.period)


def budgets_from(value: Any) -> tuple[Budget, ...]:
    """The budgets in a text, or a list of texts; ``None`` is none.

    Raises `ValueError` with a sentence about what is wrong.
    """
    if value is None:
        return ()
    found = tuple(map(_budget, value if isinstance(value, (list, tuple)) else [value]))
    if len({budget.period for budget in found}) < len(found):
        raise ValueError(f"{value!r} names one period twice.")
    return found


def callable_from(value: Any) -> Callable[..., Any] | None:
    """What is asked for the budgets of each caller, where the setting names such a thing."""
    if isinstance(value, str) and "." in value and "/" not in value:
        try:
            value = import_string(value)
        except ImportError as error:
            raise ValueError(f"{value!r} cannot be imported: {error}.") from error
        if not callable(value):
            raise ValueError(f"{value!r} is not callable.")
    return value if callable(value) else None


def _budget(text: Any) -> Budget:
    found = _BUDGET.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is no budget {FORM}.")
    tokens, count, unit = found.groups()
    return Budget(int(tokens), int(count or 1) * _SECONDS[unit])
