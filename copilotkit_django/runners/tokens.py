"""How many tokens an owner has used, and the account that a run's tokens are put on."""

from __future__ import annotations

import abc
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from copilotkit_django.budgets import Budget, Window
from copilotkit_django.exceptions import BudgetSpent

logger = logging.getLogger("copilotkit.run")

#: No run is charged more, whatever its agent reports: sums have to fit into 64 bits.
MAX_CHARGE = 2**53

#: Windows that are over are forgotten once there are so many.
FORGET_AT = 1000


class TokenCounts(abc.ABC):
    """Tokens by owner and window."""

    @abc.abstractmethod
    async def used(self, owner: str, windows: Sequence[Window]) -> list[int]:
        """How many tokens an owner has used in each of these."""

    @abc.abstractmethod
    async def add(self, owner: str, windows: Sequence[Window], tokens: int) -> None:
        """Count tokens in each of these."""


class MemoryTokens(TokenCounts):
    """What one process has counted."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, Window], int] = {}
        self._forget_at = FORGET_AT

    async def used(self, owner: str, windows: Sequence[Window]) -> list[int]:
        return [self._counts.get((owner, window), 0) for window in windows]

    async def add(self, owner: str, windows: Sequence[Window], tokens: int) -> None:
        for window in windows:
            self._counts[owner, window] = self._counts.get((owner, window), 0) + tokens
        if len(self._counts) >= self._forget_at:
            now = time.time()
            self._counts = {key: count for key, count in self._counts.items() if key[1].ends > now}
            # Where all of them count still, looking again each time would cost more and more.
            self._forget_at = max(FORGET_AT, 2 * len(self._counts))

    def __len__(self) -> int:
        return len(self._counts)


class Account:
    """Where the tokens of one run are counted."""

    def __init__(self, counts: TokenCounts, owner: str, budgets: Sequence[Budget]) -> None:
        self._counts = counts
        self._owner = owner
        self._budgets = budgets

    async def refuse_spent(self) -> None:
        """Raise `BudgetSpent` if nothing is left of one of the budgets."""
        now = time.time()
        windows = [budget.window(now) for budget in self._budgets]
        used = await self._counts.used(self._owner, windows)
        spent = [
            (window.ends - now, budget)
            for budget, window, tokens in zip(self._budgets, windows, used, strict=True)
            if tokens >= budget.tokens
        ]
        if spent:
            seconds, budget = max(spent, key=lambda found: found[0])
            raise BudgetSpent(budget.tokens, max(1, round(seconds)))

    async def charge(self, usage: Iterable[Mapping[str, Any]]) -> None:
        """Count what a run has reported, in the windows of this moment. Never raises."""
        tokens = min(tokens_in(usage), MAX_CHARGE)
        if not tokens:
            return
        now = time.time()
        windows = [budget.window(now) for budget in self._budgets]
        try:
            await self._counts.add(self._owner, windows, tokens)
        except Exception:
            logger.exception("%d tokens of a run could not be counted.", tokens)


def tokens_in(usage: Iterable[Mapping[str, Any]]) -> int:
    """How many tokens the entries of a usage report amount to."""
    return sum(
        int(entry.get("totalTokens", entry.get("inputTokens", 0) + entry.get("outputTokens", 0)))
        for entry in usage
    )
