"""Stores of a test's own: databases that servers share, and a Redis that can be killed."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import services
from tests.serving import free_port

#: For machines that are busy with something else.
PATIENCE = 60

#: One name per test run; leftovers of a killed one are replaced.
_numbers = iter(range(10_000))


class Store:
    """A database, as the servers are told of it (``url``) and as a test looks into it."""

    kind: str
    url: str

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What a query finds, seen by somebody who is none of the servers."""
        with contextlib.closing(self.open()) as connection:
            cursor = connection.cursor()
            cursor.execute(sql if self.kind != "sqlite" else sql.replace("%s", "?"), parameters)
            return cursor.fetchall()

    def open(self) -> Any:
        """A connection of the caller's own, each statement a transaction."""
        raise NotImplementedError

    def connections(self) -> int:
        """How many connections others have open to it."""
        raise NotImplementedError

    def drop(self) -> None:
        raise NotImplementedError

    # What the runner keeps there

    def raw_events(self, thread: str, run: str) -> list[bytes]:
        """The raw events of a run that are stored, in order."""
        found = self.rows(
            "SELECT s.first, s.last, s.data FROM copilotkit_segment s "
            "JOIN copilotkit_run r ON r.id=s.run_id JOIN copilotkit_thread t ON t.id=r.thread_id "
            "WHERE t.thread_id=%s AND r.run_id=%s ORDER BY s.first",
            thread,
            run,
        )
        events: list[bytes] = []
        for first, last, data in found:
            lines = bytes(data).split(b"\n")
            assert (first, last) == (len(events), len(events) + len(lines) - 1)
            events += lines
        return events

    def runs(self, thread: str) -> list[tuple[str, str]]:
        """Run id and status of each run of a thread, in order."""
        return [
            (run_id, status)
            for run_id, status in self.rows(
                "SELECT r.run_id, r.status FROM copilotkit_run r "
                "JOIN copilotkit_thread t ON t.id=r.thread_id "
                "WHERE t.thread_id=%s ORDER BY r.position",
                thread,
            )
        ]

    def held_threads(self) -> int:
        """How many threads are in somebody's hands."""
        return self.rows("SELECT count(*) FROM copilotkit_thread WHERE holder<>''")[0][0]


class Sqlite(Store):
    kind = "sqlite"

    def __init__(self, path: Path, query: str = "") -> None:
        self.path = path
        self.url = f"sqlite:///{path}" + (f"?{query}" if query else "")

    def open(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )

    def drop(self) -> None:
        for path in self.path.parent.glob(self.path.name + "*"):
            path.unlink()


class Postgres(Store):
    kind = "postgres"

    def __init__(self, query: str = "") -> None:
        import psycopg

        self._psycopg = psycopg
        self._server = services.require("postgres")
        self.name = f"copilotkit_chaos_{os.getpid()}_{next(_numbers)}"
        self._admin(f"CREATE DATABASE {self.name}")
        address = urlsplit(self._server)
        user = address.username or os.environ.get("PGUSER") or _login()
        password = f":{address.password}" if address.password else ""
        place = f"{address.hostname or '127.0.0.1'}:{address.port or 5432}"
        self.url = f"postgres://{user}{password}@{place}/{self.name}"
        self._own = self.url.replace("postgres://", "postgresql://")
        self.url += f"?{query}" if query else ""

    def _admin(self, sql: str, *parameters: Any) -> list[Any]:
        with self._psycopg.connect(self._server, autocommit=True) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def open(self) -> Any:
        return self._psycopg.connect(self._own, autocommit=True)

    def connections(self) -> int:
        # Not the database's own workers, which tidy up in a new one.
        sql = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname=%s AND backend_type='client backend'"
        )
        return self._admin(sql, self.name)[0][0]

    def idle_in_transaction(self) -> int:
        """How many transactions are open whose processes have nothing to say at the moment."""
        sql = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname=%s AND state='idle in transaction'"
        )
        return self._admin(sql, self.name)[0][0]

    def waiting_to_insert(self) -> int:
        """How many transactions wait for what another one has locked, to insert rows."""
        sql = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname=%s AND wait_event_type='Lock' AND query LIKE 'INSERT%%'"
        )
        return self._admin(sql, self.name)[0][0]

    def terminate_backends(self) -> int:
        """Cut every connection to this database, and to no other; returns how many there were."""
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname=%s"
        return len(self._admin(sql, self.name))

    def set_read_only(self, value: bool) -> None:
        """For those that connect from now on; whoever is connected is cut."""
        switch = "on" if value else "off"
        self._admin(f"ALTER DATABASE {self.name} SET default_transaction_read_only={switch}")
        self.terminate_backends()

    def drop(self) -> None:
        self._admin(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


class Mariadb(Store):
    kind = "mariadb"

    def __init__(self) -> None:
        self._address = urlsplit(services.require("mariadb"))
        self.name = f"copilotkit_chaos_{os.getpid()}_{next(_numbers)}"
        with contextlib.closing(self._connect("")) as connection:
            connection.cursor().execute(f"CREATE DATABASE {self.name} CHARACTER SET utf8mb4")
        user = self._address.username or "root"
        password = f":{self._address.password}" if self._address.password else ""
        self.url = (
            f"mysql://{user}{password}@{self._address.hostname}:{self._address.port or 3306}"
            f"/{self.name}"
        )

    def _connect(self, name: str) -> Any:
        import MySQLdb

        return MySQLdb.connect(
            host=self._address.hostname or "127.0.0.1",
            port=self._address.port or 3306,
            user=self._address.username or "root",
            password=self._address.password or "",
            database=name,
            autocommit=True,
        )

    def open(self) -> Any:
        return self._connect(self.name)

    def drop(self) -> None:
        with contextlib.closing(self._connect("")) as connection:
            connection.cursor().execute(f"DROP DATABASE IF EXISTS {self.name}")


def _login() -> str:
    import getpass

    return getpass.getuser()


@contextlib.contextmanager
def store_of(kind: str, folder: Path, query: str = "") -> Iterator[Store]:
    """A new database of a kind; the calling test is skipped where there is none."""
    store: Store
    if kind == "postgres":
        services.require("postgres")
        pytest.importorskip("psycopg")
        store = Postgres(query)
    elif kind == "mariadb":
        services.require("mariadb")
        pytest.importorskip("MySQLdb")
        store = Mariadb()
    else:
        store = Sqlite(folder / f"store-{next(_numbers)}.sqlite3", query)
    try:
        yield store
    finally:
        store.drop()


class Redis:
    """A Redis server of our own, on a port of its own, that keeps nothing."""

    def __init__(self) -> None:
        self._program = services.require("redis-server")
        pytest.importorskip("channels_redis")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly"]
        self._process = subprocess.Popen(
            [self._program, *options, "no"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert self._process.poll() is None, "redis-server ended at once"
            time.sleep(0.02)
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None


@contextlib.contextmanager
def redis_server() -> Iterator[Redis]:
    redis = Redis()
    try:
        yield redis
    finally:
        redis.kill()
