"""The persistent runner as management commands use it."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from copilotkit_django.conf import Options
from copilotkit_django.runners.database import DatabaseRunner


def database_runner() -> DatabaseRunner:
    """A runner of the command's own on the project's database; `drain` it at the end.

    Raises `CommandError` where the project's settings cannot be used.
    """
    try:
        options = Options.load()
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    return DatabaseRunner(
        lease_seconds=options.lease_seconds,
        resume_seconds=options.resume_seconds,
        outage_seconds=options.store_outage_seconds,
    )
