"""What the persistent runner reads from its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from copilotkit_django.models import Run
from copilotkit_django.runners.sql import Sql, chunks, marks

#: The columns of a `StoredRun`, but for its compacted form.
RUN_COLUMNS = "id, {position}, status, modern, event_count, kept_count"

#: The compacted form of a run that is larger is not fetched together with those of others: runs
#: may hold pictures of many megabytes.
MAX_TOGETHER = 64 * 1024


class Head(NamedTuple):
    """A thread as a reader finds it."""

    pk: int
    fence: int
    is_expired: bool


class FollowedRun(NamedTuple):
    """A run somebody follows; ``key`` is its thread's, whose lease may have run out."""

    pk: int
    position: int
    status: str
    kept_count: int | None
    key: str
    is_expired: bool


class StoredRun(NamedTuple):
    """A run of a thread's history; ``compacted`` is ``None`` while it is live.

    ``left_out`` says that it is ``None`` because it is too large to come along: ask for the run.
    """

    pk: int
    position: int
    status: str
    modern: bool
    event_count: int | None
    kept_count: int | None
    compacted: bytes | None
    left_out: bool = False


class Reads(Sql):
    """Queries; none of them locks anything."""

    def head(self, key: str) -> Head | None:
        """What a reader needs to know of a thread before it starts."""
        for row in self.select(
            "SELECT id, fence, holder, lease_expires, "
            f"{self.now_ms} FROM {{thread}} WHERE {{key}}=%s",
            [key],
        ):
            return Head(row[0], row[1], bool(row[2]) and row[3] < row[4])
        return None

    def runs(self, thread: int, *, after: int, upto: int, limit: int) -> list[StoredRun]:
        """Runs of a thread's history in order, from behind ``after`` to ``upto``."""
        return [
            _stored_run(row)
            for row in self.select(
                f"SELECT {RUN_COLUMNS}, "
                f"CASE WHEN LENGTH(compacted)<={MAX_TOGETHER} THEN compacted END, "
                f"LENGTH(compacted)>{MAX_TOGETHER} FROM {{run}} "
                "WHERE thread_id=%s AND {position}>%s AND {position}<=%s AND status<>%s "
                f"ORDER BY {{position}} LIMIT {int(limit)}",
                [thread, after, upto, Run.Status.SUPERSEDED.value],
            )
        ]

    def run(self, pk: int) -> StoredRun | None:
        """One run."""
        for row in self.select(
            f"SELECT {RUN_COLUMNS}, compacted, NULL FROM {{run}} WHERE id=%s",
            [pk],
        ):
            return _stored_run(row)
        return None

    def segments(self, places: Sequence[tuple[int, int]]) -> list[tuple[int, int, int, bytes]]:
        """``(run, first, last, data)`` of raw events that end at or behind a number, per run."""
        found = []
        for chunk in chunks(places, width=2):
            where = " OR ".join(["(run_id=%s AND {last}>=%s)"] * len(chunk))
            for row in self.select(
                f"SELECT run_id, {{first}}, {{last}}, data FROM {{segment}} WHERE {where} "
                "ORDER BY run_id, {first}",
                [value for place in chunk for value in place],
            ):
                found.append((row[0], row[1], row[2], bytes(row[3])))
        return found

    def followed(self, runs: Sequence[int]) -> list[FollowedRun]:
        """What followers need to know of some runs."""
        return [
            FollowedRun(row[0], row[1], row[2], row[3], row[4], bool(row[5]))
            for chunk in chunks(runs)
            for row in self.select(
                "SELECT r.id, r.{position}, r.status, r.kept_count, t.{key}, "
                f"(t.holder<>'' AND t.lease_expires<{self.now_ms} AND t.fence=r.{{position}}) "
                "FROM {run} r JOIN {thread} t ON t.id=r.thread_id "
                f"WHERE r.id IN ({marks(chunk)})",
                chunk,
            )
        ]

    def data_version(self) -> int | None:
        """SQLite's count of changes by others; ``None`` on databases that have no such thing."""
        if self.connection.vendor != "sqlite":
            return None
        with self.connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            return int(cursor.fetchone()[0])

    def watch(self, threads: Sequence[int]) -> list[tuple[int, str, str, int, int]]:
        """``(thread, key, holder, fence, stop_position)`` of some threads."""
        return [
            row
            for chunk in chunks(threads)
            for row in self.select(
                "SELECT id, {key}, holder, fence, stop_position FROM {thread} "
                f"WHERE id IN ({marks(chunk)})",
                chunk,
            )
        ]

    def holder(self, key: str) -> str | None:
        """Who holds a thread; ``None`` if nobody does, or nobody that is alive."""
        for row in self.select(
            f"SELECT holder FROM {{thread}} WHERE {{key}}=%s AND lease_expires>={self.now_ms}",
            [key],
        ):
            return row[0] or None
        return None

    def expired(self, limit: int) -> list[str]:
        """Keys of threads whose lease ran out."""
        return [
            row[0]
            for row in self.select(
                f"SELECT {{key}} FROM {{thread}} WHERE holder<>'' AND lease_expires<{self.now_ms} "
                f"ORDER BY lease_expires LIMIT {int(limit)}",
                [],
            )
        ]


def _stored_run(row: Sequence[Any]) -> StoredRun:
    pk, position, status, modern, event_count, kept_count, compacted, left_out = row
    compacted = None if compacted is None else bytes(compacted)
    return StoredRun(
        pk, position, status, bool(modern), event_count, kept_count, compacted, bool(left_out)
    )
