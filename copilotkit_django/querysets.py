"""Queries in the words of the domain."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db import models

from copilotkit_django.keys import digest_of

if TYPE_CHECKING:
    from copilotkit_django.models import Run, Thread  # noqa: F401 - named in the bases below


class ThreadQuerySet(models.QuerySet["Thread"]):
    def in_scope(self, scope: str) -> Self:
        """The threads of one scope. Every query made for a caller starts here."""
        return self.filter(scope_key=digest_of(scope))

    def with_runs(self) -> Self:
        """Threads a finished run has made visible."""
        return self.filter(last_run_at__isnull=False)

    def untouched_since(self, moment: datetime) -> Self:
        """Threads on which nothing runs and nothing has changed since."""
        return self.filter(updated_at__lt=moment, holder="").order_by("updated_at")


class RunQuerySet(models.QuerySet["Run"]):
    def in_history(self) -> Self:
        """The runs that are part of the conversation, in order."""
        return self.exclude(status="superseded").order_by("position")
