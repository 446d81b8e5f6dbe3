"""The persistent runner as management commands use it."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from copilotkit_django.conf import Options
from copilotkit_django.runners.database import DatabaseRunner


def database_runner() -> DatabaseRunner:
    """A runner of this process's own on the project's database; `drain` it at the end.

    Raises `CommandError` where the project's settings cannot be used.
    """
    try:
        return DatabaseRunner.from_options(Options.load())
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
