"""Tokens counted in the database, for all processes together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from copilotkit_django.budgets import Window
from copilotkit_django.keys import digest_of
from copilotkit_django.runners.tokens import TokenCounts
from copilotkit_django.runners.writes import Spend

if TYPE_CHECKING:
    from copilotkit_django.runners.database import DatabaseRunner


class DatabaseTokens(TokenCounts):
    """One row for each owner and window. Written with whatever else ends at that moment."""

    def __init__(self, runner: DatabaseRunner) -> None:
        self._runner = runner

    async def used(self, owner: str, windows: Sequence[Window]) -> list[int]:
        return await self._runner.read(self._runner.store.tokens, digest_of(owner), windows)

    async def add(self, owner: str, windows: Sequence[Window], tokens: int) -> None:
        spend = Spend(digest_of(owner), windows, tokens)
        await self._runner.writer.do(spend, timeout=self._runner.outage_seconds)
