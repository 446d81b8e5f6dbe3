"""Databases and channel layers of test servers, named by URLs on their command lines."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import unquote, urlsplit

ENGINES = {
    "postgres": "django.db.backends.postgresql",
    "postgresql": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
}

#: What the docs tell users of SQLite to set.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 5,
    "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a server that can be given a store."""
    parser.add_argument("--runner", choices=("memory", "database"), default="memory")
    parser.add_argument(
        "--database", help="sqlite:///PATH, postgres://user@host/name or mysql://user@host/name"
    )
    parser.add_argument("--redis", help="redis://host:port, for hints between processes")
    parser.add_argument("--lease", type=float, default=15.0, help="LEASE_SECONDS")


def database(url: str) -> dict[str, Any]:
    """An entry of DATABASES. ``sqlite:///a/b`` names the absolute path ``/a/b``."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path),
            "OPTIONS": SQLITE_OPTIONS,
        }
    options: dict[str, Any] = {}
    if parts.query == "pool":
        # For tests with several runners in one process, each with connections of its own.
        options["pool"] = {"min_size": 2, "max_size": 30}
    if ENGINES[parts.scheme].endswith("mysql"):
        options["charset"] = "utf8mb4"
    return {
        "ENGINE": ENGINES[parts.scheme],
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "OPTIONS": options,
    }


def channel_layers(url: str) -> dict[str, Any]:
    """CHANNEL_LAYERS on Redis publish and subscribe."""
    return {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": url, "socket_timeout": None}]},
        }
    }


def migrate() -> None:
    """Make the tables, quietly. Not in several processes at once."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
