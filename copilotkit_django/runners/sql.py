"""Raw SQL on one of the project's databases: names filled in, values passed as parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from django.db import DataError, connections, models, transaction
from django.db.models.constants import OnConflict
from django.utils import timezone

from copilotkit_django.events.wire import encode
from copilotkit_django.models import (
    DeletedThread,
    Run,
    SeenMessage,
    Segment,
    Thread,
    TokenCount,
)

#: Columns whose names are reserved words somewhere.
RESERVED = ("key", "position", "first", "last", "usage", "period")

#: Parameters of one statement. SQLite, as Django sees it, takes 999.
MAX_PARAMETERS = 900

#: Characters that the JSON of PostgreSQL refuses, as they are escaped.
NOT_STORABLE = re.compile(rb"\\u(0000|d[89a-f])", re.IGNORECASE)

#: What a statement is besides its largest value, at the most.
OVERHEAD_BYTES = 64 * 1024

#: Bytes of one statement, if it has more than one row: MySQL and MariaDB take 16 MB, as they come.
MAX_BYTES = 4 * 1024 * 1024

#: A transaction waits so long for what another one has locked; then it is tried again later.
LOCK_SECONDS = 2

#: A process that stands still in the middle of a transaction may keep what it has locked so long.
STANDSTILL_SECONDS = 5


class Sql:
    """Statements on the tables of the persistent runner, on the connection of this thread.

    In a statement ``{thread}``, ``{run}``, ``{segment}``, ``{seen}``, ``{deleted}`` and
    ``{tokens}`` are the
    tables, and columns whose names are reserved words somewhere stand in braces too.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias

    @property
    def connection(self) -> Any:
        return connections[self.alias]

    @property
    def vendor(self) -> str:
        """``sqlite``, ``postgresql`` or ``mysql``."""
        return str(self.connection.vendor)

    @property
    def now_ms(self) -> str:
        """The database's clock, as SQL: milliseconds since the epoch."""
        vendor = self.connection.vendor
        if vendor == "sqlite":
            return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
        if vendor == "postgresql":
            return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
        if vendor == "mysql":
            return "CAST(unix_timestamp(now(3)) * 1000 AS signed)"
        raise NotImplementedError(f"DatabaseRunner does not know the clock of {vendor}.")

    def disconnect(self) -> None:
        """Close the connection of this thread, which has failed, and get rid of others like it."""
        self.connection.close()
        pool = getattr(self.connection, "pool", None)
        # One that is not open yet would lose the connection it grows by, and never grow again.
        if pool is not None and not pool.closed:
            # It would hand out one connection after the other that the server has closed.
            with suppress(Exception):
                pool.check()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction that neither waits for ever nor makes others wait for ever.

        Not on SQLite, where the process that writes cannot be told to make way.
        """
        with transaction.atomic(using=self.alias):
            connection = self.connection
            if connection.vendor == "postgresql":
                # Forgotten at the end of the transaction: the connection may be one of a pool.
                self.execute(
                    "SELECT set_config('lock_timeout', %s, true), "
                    "set_config('idle_in_transaction_session_timeout', %s, true)",
                    [f"{LOCK_SECONDS}s", f"{STANDSTILL_SECONDS}s"],
                )
            elif connection.vendor == "mysql":
                self.execute("SET SESSION innodb_lock_wait_timeout=%s", [LOCK_SECONDS])
                if connection.mysql_is_mariadb:
                    self.execute("SET SESSION idle_transaction_timeout=%s", [STANDSTILL_SECONDS])
            yield

    def _named(self, sql: str) -> str:
        """Fill in the names that are reserved words somewhere, and the tables."""
        quote = self.connection.ops.quote_name
        tables: dict[str, type[models.Model]] = {
            "thread": Thread,
            "run": Run,
            "segment": Segment,
            "seen": SeenMessage,
            "tokens": TokenCount,
            "deleted": DeletedThread,
        }
        return sql.format(
            **{name: quote(model._meta.db_table) for name, model in tables.items()},
            **{name: quote(name) for name in RESERVED},
        )

    def select(self, sql: str, parameters: Sequence[Any]) -> Iterator[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(self._named(sql), parameters)
            return iter(cursor.fetchall())

    def execute(self, sql: str, parameters: Sequence[Any]) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(self._named(sql), parameters)
            return int(cursor.rowcount)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        with self.connection.cursor() as cursor:
            cursor.executemany(self._named(sql), rows)

    def insert(
        self,
        model: type[models.Model],
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        *,
        ignore: bool = False,
        suffix: str = "",
    ) -> None:
        """Insert rows. ``suffix`` says what is to be done about those that are there already."""
        if not rows:
            return
        ops = self.connection.ops
        on_conflict = OnConflict.IGNORE if ignore else None
        verb = ops.insert_statement(on_conflict=on_conflict)
        if ignore:
            suffix = ops.on_conflict_suffix_sql([], on_conflict, [], [])
        table = ops.quote_name(model._meta.db_table)
        names = ", ".join(map(ops.quote_name, columns))
        one = f"({marks(columns)})"
        with self.connection.cursor() as cursor:
            for chunk in _rows_of_one_statement(rows, len(columns)):
                cursor.execute(
                    f"{verb} {table} ({names}) VALUES {', '.join([one] * len(chunk))} {suffix}",
                    [value for row in chunk for value in row],
                )

    def adding(self, model: type[models.Model], column: str, unique: Sequence[str]) -> str:
        """The suffix of an INSERT that adds to a column of a row that is there already."""
        quote = self.connection.ops.quote_name
        name = quote(column)
        if self.connection.vendor == "mysql":
            return f"ON DUPLICATE KEY UPDATE {name}={name}+VALUES({name})"
        table = quote(model._meta.db_table)
        places = ", ".join(map(quote, unique))
        return f"ON CONFLICT ({places}) DO UPDATE SET {name}={table}.{name}+EXCLUDED.{name}"

    def binary(self, data: bytes) -> Any:
        """Bytes as a parameter. Raises `DataError` for more than the server would take."""
        if self.connection.vendor == "mysql":
            self._refuse_too_large(data)
        return self.connection.Database.Binary(data)

    def _refuse_too_large(self, data: bytes) -> None:
        # The server closes the connection instead of saying so, as if it had gone away, and the
        # same write would be tried again and again.
        if len(data) * 2 < MAX_BYTES:
            return
        ((limit,),) = self.select("SELECT @@max_allowed_packet", [])
        escaped = sum(data.count(byte) for byte in (b'"', b"'", b"\\", b"\n", b"\r", b"\0"))
        if len(data) + escaped + OVERHEAD_BYTES > limit:
            raise DataError(f"{len(data)} bytes are more than max_allowed_packet allows.")

    def text(self, value: str) -> str:
        """A text without what some databases cannot hold: NUL, half a surrogate pair."""
        return value.replace("\0", "").encode(errors="replace").decode()

    def json(self, value: Any) -> Any:
        """A JSON value as a parameter; nothing in place of one that not every database can hold."""
        if value is not None and NOT_STORABLE.search(encode(value)):
            value = None
        return Run._meta.get_field("usage").get_db_prep_save(value, self.connection)

    def user(self, user: Any) -> Any:
        """The primary key of a user, or of nobody, as a parameter."""
        pk = None if user is None else user.pk
        return Thread._meta.get_field("user").get_db_prep_save(pk, self.connection)

    def now(self) -> Any:
        return self.connection.ops.adapt_datetimefield_value(timezone.now())

    def moment(self, value: Any) -> datetime | None:
        """A moment as the driver gives it, which for SQLite is text."""
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if value is not None and value.tzinfo is None:
            # Without USE_TZ everything is in the time zone of the project.
            zone = self.connection.timezone or timezone.get_default_timezone()
            value = timezone.make_aware(value, zone)
        return value  # type: ignore[no-any-return]


def marks(values: Sequence[Any]) -> str:
    return ",".join(["%s"] * len(values))


def place_marks(places: Sequence[Any]) -> str:
    """The condition for (thread, position) pairs; not every database takes rows in a list."""
    return " OR ".join(["(thread_id=%s AND {position}=%s)"] * len(places))


def _rows_of_one_statement(
    rows: Sequence[Sequence[Any]], width: int
) -> Iterator[Sequence[Sequence[Any]]]:
    """Parts of some rows that one statement can take, in number and in size."""
    for chunk in chunks(rows, width):
        start = size = 0
        for number, row in enumerate(chunk):
            weight = sum(map(_size, row))
            if number > start and size + weight > MAX_BYTES:
                yield chunk[start:number]
                start, size = number, 0
            size += weight
        yield chunk[start:]


def _size(value: Any) -> int:
    # Drivers wrap bytes in types of their own.
    data = getattr(value, "obj", value)
    return len(data) if isinstance(data, bytes | bytearray) else 0


def chunks(values: Sequence[Any], width: int = 1) -> Iterator[Sequence[Any]]:
    """Parts of a sequence small enough for the parameters of one statement."""
    size = max(1, MAX_PARAMETERS // width)
    for start in range(0, len(values), size):
        yield values[start : start + size]
