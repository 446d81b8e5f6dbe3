"""Raw SQL on one of the project's databases: names filled in, values passed as parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connections, models
from django.db.models.constants import OnConflict

from copilotkit_django.models import Run, SeenMessage, Segment, Thread

#: Parameters of one statement. SQLite, as Django sees it, takes 999.
MAX_PARAMETERS = 900


class Sql:
    """Statements on the tables of the persistent runner, on the connection of this thread.

    In a statement ``{thread}``, ``{run}``, ``{segment}`` and ``{seen}`` are the tables, and columns
    whose names are reserved words somewhere stand in braces too.
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

    def _named(self, sql: str) -> str:
        """Fill in the names that are reserved words somewhere, and the tables."""
        quote = self.connection.ops.quote_name
        tables = {"thread": Thread, "run": Run, "segment": Segment, "seen": SeenMessage}
        return sql.format(
            **{name: quote(model._meta.db_table) for name, model in tables.items()},
            **{name: quote(name) for name in ("key", "position", "first", "last", "usage")},
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
    ) -> None:
        if not rows:
            return
        ops = self.connection.ops
        on_conflict = OnConflict.IGNORE if ignore else None
        verb = ops.insert_statement(on_conflict=on_conflict)
        suffix = ops.on_conflict_suffix_sql([], on_conflict, [], []) if ignore else ""
        table = ops.quote_name(model._meta.db_table)
        names = ", ".join(map(ops.quote_name, columns))
        one = f"({marks(columns)})"
        with self.connection.cursor() as cursor:
            for chunk in chunks(rows, width=len(columns)):
                cursor.execute(
                    f"{verb} {table} ({names}) VALUES {', '.join([one] * len(chunk))} {suffix}",
                    [value for row in chunk for value in row],
                )

    def binary(self, data: bytes) -> Any:
        return self.connection.Database.Binary(data)

    def json(self, value: Any) -> Any:
        return Run._meta.get_field("usage").get_db_prep_save(value, self.connection)

    def now(self) -> Any:
        return self.connection.ops.adapt_datetimefield_value(datetime.now(UTC))

    def moment(self, value: Any) -> datetime | None:
        """A moment as the driver gives it, which for SQLite is text."""
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if value is not None and value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return value  # type: ignore[no-any-return]


def marks(values: Sequence[Any]) -> str:
    return ",".join(["%s"] * len(values))


def place_marks(places: Sequence[Any]) -> str:
    """The condition for (thread, position) pairs; not every database takes rows in a list."""
    return " OR ".join(["(thread_id=%s AND {position}=%s)"] * len(places))


def chunks(values: Sequence[Any], width: int = 1) -> Iterator[Sequence[Any]]:
    """Parts of a sequence small enough for the parameters of one statement."""
    size = max(1, MAX_PARAMETERS // width)
    for start in range(0, len(values), size):
        yield values[start : start + size]
