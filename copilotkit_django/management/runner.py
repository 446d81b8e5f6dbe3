"""The persistent runner as management commands use it."""

from __future__ import annotations

import inspect

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from copilotkit_django.conf import NAME, Options
from copilotkit_django.runners.database import DatabaseRunner


def load_options() -> Options:
    """The project's settings. Raises `CommandError` where they cannot be used."""
    try:
        return Options.load()
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


def database_runner() -> DatabaseRunner:
    """A runner of the command's own on the project's database; `drain` it at the end.

    Raises `CommandError` where the project's settings cannot be used.
    """
    options = load_options()
    theirs = options.runner
    return DatabaseRunner(
        lease_seconds=options.lease_seconds,
        resume_seconds=options.resume_seconds,
        outage_seconds=options.store_outage_seconds,
        using=theirs.store.alias if isinstance(theirs, DatabaseRunner) else None,
    )


def require_database() -> None:
    """Raise `CommandError` for a project that keeps its threads anywhere but in the database."""
    theirs = load_options().runner
    kind = theirs if inspect.isclass(theirs) else type(theirs)
    if not issubclass(kind, DatabaseRunner):
        raise CommandError(
            f"{NAME}['RUNNER'] is {kind.__name__}: its threads are not in the database, and this "
            "command sees no others."
        )


def counted(count: int, what: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
