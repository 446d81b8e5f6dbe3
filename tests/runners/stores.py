"""Databases of their own for the persistent runner, named by URLs and made for one test run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections

from copilotkit_django.models import (
    DeletedThread,
    Run,
    SeenMessage,
    Segment,
    Thread,
    TokenCount,
)
from tests import services
from tests.databases import database

SQLITE = "sqlite"
POSTGRES = "postgres"
POOL = "postgres-pool"
MARIADB = "mariadb"
DATABASES = (SQLITE, POSTGRES, POOL, MARIADB)
SERVERS = (POSTGRES, POOL, MARIADB)
MEMORY = "memory"

#: The service and the driver that each needs; SQLite needs nothing.
NEEDS = {
    POSTGRES: ("postgres", "psycopg"),
    POOL: ("postgres", "psycopg_pool"),
    MARIADB: ("mariadb", "MySQLdb"),
}


@contextlib.contextmanager
def made(kind: str, folder: Path, *, name: str = "runners") -> Iterator[str]:
    """A migrated database of a kind; yields its alias. Skips, by name, where there is none."""
    alias = f"{name}-{kind}"
    empty = _empty(kind, folder, f"copilotkit_{name}_{os.getpid()}_{kind.replace('-', '_')}")
    with empty as url, registered(alias, url):
        call_command("migrate", database=alias, verbosity=0)
        # Apps of tests have no migrations; what goes with a user is looked for there, too.
        call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
        yield alias


@contextlib.contextmanager
def registered(alias: str, url: str) -> Iterator[None]:
    """Make a database known to Django under an alias, as if it stood in DATABASES."""
    connections.settings = connections.configure_settings(
        {**connections.settings, alias: database(url)}
    )
    try:
        yield
    finally:
        connection = connections[alias]
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()
        del connections[alias]
        connections.settings = {
            known: value for known, value in connections.settings.items() if known != alias
        }


@contextlib.contextmanager
def _empty(kind: str, folder: Path, name: str) -> Iterator[str]:
    """An empty database; yields its URL."""
    if kind == SQLITE:
        yield f"sqlite://{folder / name}.sqlite3"
        return
    service, driver = NEEDS[kind]
    where = services.require(service)
    pytest.importorskip(driver)
    server, _, maintenance = where.rpartition("/")
    with registered(f"admin-{name}", f"{server}/{maintenance}"):
        admin = connections[f"admin-{name}"]
        with admin.cursor() as cursor:
            charset = " CHARACTER SET utf8mb4" if admin.vendor == "mysql" else ""
            cursor.execute(f"CREATE DATABASE {name}{charset}")
        try:
            yield f"{server}/{name}{'?pool' if kind == POOL else ''}"
        finally:
            force = " WITH (FORCE)" if admin.vendor == "postgresql" else ""
            with admin.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name}{force}")


def empty(alias: str) -> None:
    """Delete everything the runner keeps."""
    for model in (Segment, SeenMessage, Run, Thread, TokenCount, DeletedThread):
        model.objects.using(alias).all()._raw_delete(alias)
