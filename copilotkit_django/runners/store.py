"""The tables of the persistent runner, in raw SQL: few statements, many rows each, no instances.

Everything here is synchronous and uses the connection of the thread it is called on. A `Write` is
a thing to be done in a flush; `Store.write` does many of them in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connections, models, transaction
from django.db.models.constants import OnConflict

from copilotkit_django.events.wire import encode
from copilotkit_django.keys import digest_of
from copilotkit_django.models import Run, SeenMessage, Segment, Thread
from copilotkit_django.runners.base import ThreadRef

Status = Run.Status

#: Parameters of one statement. SQLite, as Django sees it, takes 999.
MAX_PARAMETERS = 900


class Write:
    """One thing to do in a flush. ``key`` is the thread it is about."""

    key: str


class Busy(NamedTuple):
    """The claim found the thread taken by another run."""


class Expired(NamedTuple):
    """The claim found the lease of a dead run: finalise that one first."""


class Again(NamedTuple):
    """The claim is a request that was sent before: follow the run it started."""

    run: int
    position: int
    live: bool


class Claimed(NamedTuple):
    """The thread is the caller's. ``seen`` are those of the asked message ids it knows."""

    thread: int
    run: int
    position: int
    seen: frozenset[str]


class Gone(NamedTuple):
    """A later run has taken the thread: what was to be written was dropped."""


class Done(NamedTuple):
    """It is written."""


@dataclass(slots=True)
class Claim(Write):
    """Take a thread for a run and store the run with the messages new to the thread."""

    ref: ThreadRef
    key: str
    user: Any
    agent_id: str
    run_id: str
    digest: str
    token: str
    holder: str
    lease_ms: int
    modern: bool
    supersede: bool
    message_ids: Sequence[str]
    #: The stored form of the run input, given the message ids that are not new.
    stored_input: Callable[[frozenset[str]], bytes]
    #: A run that ended so long ago is not given to whoever sends its request again.
    resend_seconds: float
    #: Nobody waits for the answer any more.
    cancelled: bool = False


@dataclass(slots=True)
class Append(Write):
    """Add raw events to a run that still owns its thread."""

    key: str
    run: int
    position: int
    first: int
    last: int
    data: bytes


@dataclass(slots=True)
class Finish(Write):
    """End a run: its compacted events, the rest of the raw ones, its thread free again."""

    key: str
    run: int
    position: int
    agent_id: str
    status: Status
    error: str
    usage: Any
    event_count: int
    compacted: bytes
    message_ids: Iterable[str]
    tail: Append | None


@dataclass(slots=True)
class Release(Write):
    """Give a thread back as if the run had never been claimed."""

    key: str
    run: int
    position: int


@dataclass(slots=True)
class LockedThread:
    """A thread's row, locked for this transaction."""

    pk: int
    key: str
    holder: str
    lease_expires: int
    fence: int
    now: int

    @property
    def is_free(self) -> bool:
        return not self.holder

    @property
    def is_expired(self) -> bool:
        return bool(self.holder) and self.lease_expires < self.now


class LastRun(NamedTuple):
    pk: int
    run_id: str
    digest: str
    token: str
    status: str
    ended_at: datetime | None


class Head(NamedTuple):
    """A thread as a reader finds it."""

    pk: int
    fence: int
    is_expired: bool


class DeadRun(NamedTuple):
    """A run whose process is gone; ``input`` is its echo as stored."""

    pk: int
    position: int
    agent_id: str
    input: bytes


class StoredRun(NamedTuple):
    """A run of a thread's history; ``compacted`` is ``None`` while it is live."""

    pk: int
    position: int
    status: str
    modern: bool
    compacted: bytes | None


class Store:
    """The statements, for one database."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    @property
    def connection(self) -> Any:
        return connections[self.alias]

    @property
    def vendor(self) -> str:
        """``sqlite``, ``postgresql`` or ``mysql``."""
        return str(self.connection.vendor)

    # -- flushes --------------------------------------------------------------------------------

    def write(self, writes: Sequence[Write]) -> list[Any]:
        """Do all of it in one transaction; returns one answer per write, in order.

        Rows are locked in the order of their keys, so that two processes cannot wait for each
        other. What belongs to a run that lost its thread is dropped and answered `Gone`.
        """
        claims = [write for write in writes if isinstance(write, Claim)]
        with transaction.atomic(using=self.alias):
            threads = self._lock(sorted({write.key for write in writes}))
            new = {claim.key: claim for claim in claims if claim.key not in threads}
            if new:
                self._create_threads([new[key] for key in sorted(new)])
                threads |= self._lock(sorted(new))
            answers = _Answers(writes)
            self._append_all(answers, threads)
            self._finish_all(answers, threads)
            self._release_all(answers, threads)
            if claims:
                self._claim_all(answers, claims, threads)
        return answers.in_order()

    def _create_threads(self, claims: Sequence[Claim]) -> None:
        now = self._now()
        rows = [
            (
                claim.ref.scope,
                digest_of(claim.ref.scope),
                claim.user.pk if claim.user is not None else None,
                claim.ref.thread_id,
                claim.key,
                claim.agent_id,
                "",
                False,
                now,
                now,
                "",
                0,
                0,
                0,
            )
            for claim in claims
        ]
        columns = (
            "scope scope_key user_id thread_id key agent_id name archived created_at updated_at "
            "holder lease_expires fence stop_position"
        )
        self._insert(Thread, columns.split(), rows, ignore=True)

    def _lock(self, keys: Sequence[str]) -> dict[str, LockedThread]:
        for_update = " FOR UPDATE" if self.connection.features.has_select_for_update else ""
        return {
            row[1]: LockedThread(*row)
            for chunk in _chunks(keys)
            for row in self._select(
                f"SELECT id, {{key}}, holder, lease_expires, fence, {self.now_ms} FROM {{thread}} "
                f"WHERE {{key}} IN ({_marks(chunk)}) ORDER BY {{key}}{for_update}",
                chunk,
            )
        }

    def _append_all(self, answers: _Answers, threads: dict[str, LockedThread]) -> None:
        rows = []
        for write in answers.pending(Append):
            if _owns(write, threads):
                rows.append((write.run, write.first, write.last, self._binary(write.data)))
                answers.give(write, Done())
            else:
                answers.give(write, Gone())
        self._insert(Segment, ("run_id", "first", "last", "data"), rows, ignore=True)

    def _finish_all(self, answers: _Answers, threads: dict[str, LockedThread]) -> None:
        finishes = []
        for write in answers.pending(Finish):
            owns = _owns(write, threads)
            if owns:
                finishes.append(write)
            # Committed before, only the answer was lost on the way.
            done = owns or self._has_ended(write, threads)
            answers.give(write, Done() if done else Gone())
        if not finishes:
            return
        now = self._now()
        self._many(
            "UPDATE {run} SET status=%s, error=%s, {usage}=%s, ended_at=%s, event_count=%s, "
            "compacted=%s WHERE id=%s",
            [
                (
                    write.status.value,
                    write.error,
                    self._json(write.usage),
                    now,
                    write.event_count,
                    self._binary(write.compacted),
                    write.run,
                )
                for write in finishes
            ],
        )
        self._many(
            "UPDATE {thread} SET holder='', lease_expires=0, agent_id=%s, updated_at=%s, "
            "last_run_at=%s WHERE id=%s AND fence=%s",
            [
                (write.agent_id, now, now, threads[write.key].pk, write.position)
                for write in finishes
            ],
        )
        tails = [write.tail for write in finishes if write.tail is not None]
        self._insert(
            Segment,
            ("run_id", "first", "last", "data"),
            [(tail.run, tail.first, tail.last, self._binary(tail.data)) for tail in tails],
            ignore=True,
        )
        seen = {
            (threads[write.key].pk, digest_of(message_id))
            for write in finishes
            for message_id in write.message_ids
        }
        # Sorted, so that two processes insert what they share in the same order.
        self._insert(SeenMessage, ("thread_id", "digest"), sorted(seen), ignore=True)
        for write in finishes:
            threads[write.key].holder = ""

    def _has_ended(self, write: Finish, threads: dict[str, LockedThread]) -> bool:
        thread = threads.get(write.key)
        if thread is None or thread.fence != write.position:
            return False
        last = self._last_runs([thread]).get(thread.pk)
        return last is not None and last.status == write.status.value

    def _release_all(self, answers: _Answers, threads: dict[str, LockedThread]) -> None:
        for write in answers.pending(Release):
            owns = _owns(write, threads)
            answers.give(write, Done() if owns else Gone())
            if owns:
                self._run("DELETE FROM {segment} WHERE run_id=%s", [write.run])
                self._run("DELETE FROM {run} WHERE id=%s", [write.run])
                self._run(
                    "UPDATE {thread} SET holder='', lease_expires=0 WHERE id=%s AND fence=%s",
                    [threads[write.key].pk, write.position],
                )
                threads[write.key].holder = ""

    def _claim_all(
        self, answers: _Answers, claims: Sequence[Claim], threads: dict[str, LockedThread]
    ) -> None:
        last_runs = self._last_runs([threads[c.key] for c in claims if c.key in threads])
        granted: list[tuple[Claim, LockedThread, frozenset[str]]] = []
        superseded: list[LockedThread] = []
        taken: set[str] = set()
        for claim in claims:
            thread = threads.get(claim.key)
            if claim.cancelled or thread is None:
                answers.give(claim, Gone())
                continue
            last = last_runs.get(thread.pk)
            if last is not None and last.token == claim.token and not thread.is_free:
                # Committed before, only the answer was lost on the way.
                seen = self._seen(claim, thread)
                answers.give(claim, Claimed(thread.pk, last.pk, thread.fence, seen))
                continue
            refusal = Busy() if claim.key in taken else _refusal(claim, thread, last)
            if refusal is not None:
                answers.give(claim, refusal)
                continue
            taken.add(claim.key)
            granted.append((claim, thread, self._seen(claim, thread)))
            if not thread.is_free:
                superseded.append(thread)
        self._supersede(superseded)
        runs = self._start_runs(granted)
        for claim, thread, seen in granted:
            position = thread.fence + 1
            answers.give(claim, Claimed(thread.pk, runs[thread.pk, position], position, seen))

    def _last_runs(self, threads: Sequence[LockedThread]) -> dict[int, LastRun]:
        places = sorted({(thread.pk, thread.fence) for thread in threads if thread.fence})
        found: dict[int, LastRun] = {}
        for chunk in _chunks(places, width=2):
            for row in self._select(
                "SELECT thread_id, id, run_id, digest, token, status, ended_at FROM {run} "
                f"WHERE {_places(chunk)}",
                [value for place in chunk for value in place],
            ):
                _, pk, run_id, digest, token, status, ended_at = row
                moment = self._moment(ended_at)
                found[row[0]] = LastRun(pk, run_id, digest, token, status, moment)
        return found

    def _seen(self, claim: Claim, thread: LockedThread) -> frozenset[str]:
        """Those of a claim's message ids that its thread knows already."""
        if not thread.fence:
            return frozenset()
        ids = {digest_of(message_id): message_id for message_id in claim.message_ids}
        return frozenset(
            ids[row[0]]
            for chunk in _chunks(list(ids))
            for row in self._select(
                f"SELECT digest FROM {{seen}} WHERE thread_id=%s AND digest IN ({_marks(chunk)})",
                [thread.pk, *chunk],
            )
        )

    def _supersede(self, threads: Sequence[LockedThread]) -> None:
        now = self._now()
        self._many(
            "UPDATE {run} SET status=%s, ended_at=%s WHERE thread_id=%s AND {position}=%s",
            [(Status.SUPERSEDED.value, now, thread.pk, thread.fence) for thread in threads],
        )

    def _start_runs(
        self, granted: Sequence[tuple[Claim, LockedThread, frozenset[str]]]
    ) -> dict[tuple[int, int], int]:
        if not granted:
            return {}
        now = self._now()
        # The rows are locked; the condition says once more, in the statement that takes the
        # thread, what was found when they were read.
        self._many(
            "UPDATE {thread} SET holder=%s, lease_expires=%s, fence=%s, stop_position=0 "
            "WHERE id=%s AND fence=%s AND holder=%s",
            [
                (
                    claim.holder,
                    thread.now + claim.lease_ms,
                    thread.fence + 1,
                    thread.pk,
                    thread.fence,
                    thread.holder,
                )
                for claim, thread, _ in granted
            ],
        )
        columns = (
            "thread_id position run_id digest token status agent_id modern error started_at input"
        )
        self._insert(
            Run,
            columns.split(),
            [
                (
                    thread.pk,
                    thread.fence + 1,
                    claim.run_id,
                    claim.digest,
                    claim.token,
                    Status.RUNNING.value,
                    claim.agent_id,
                    claim.modern,
                    "",
                    now,
                    self._binary(claim.stored_input(seen)),
                )
                for claim, thread, seen in granted
            ],
        )
        places = [(thread.pk, thread.fence + 1) for _, thread, _ in granted]
        runs: dict[tuple[int, int], int] = {}
        for chunk in _chunks(places, width=2):
            for row in self._select(
                f"SELECT thread_id, {{position}}, id FROM {{run}} WHERE {_places(chunk)}",
                [value for place in chunk for value in place],
            ):
                runs[row[0], row[1]] = row[2]
        return runs

    # -- leases ---------------------------------------------------------------------------------

    def renew(self, holder: str, lease_ms: int, given_up: Iterable[int] = ()) -> None:
        """Renew all leases of a holder, except those of threads whose runs were given up."""
        threads = sorted(given_up)
        without = f" AND id NOT IN ({_marks(threads)})" if threads else ""
        self._run(
            f"UPDATE {{thread}} SET lease_expires={self.now_ms} + %s WHERE holder=%s{without}",
            [lease_ms, holder, *threads],
        )

    def watch(self, threads: Sequence[int]) -> list[tuple[int, int, int]]:
        """``(thread, fence, stop_position)`` of some threads: who holds them, what shall stop."""
        return [
            row
            for chunk in _chunks(threads)
            for row in self._select(
                f"SELECT id, fence, stop_position FROM {{thread}} WHERE id IN ({_marks(chunk)})",
                chunk,
            )
        ]

    def request_stop(self, key: str, run_id: str | None) -> str | None:
        """Flag a live run to be stopped by whoever owns it; its holder, or ``None``.

        A run that was flagged before, or is not the one named ``run_id``, counts as none.
        """
        with transaction.atomic(using=self.alias):
            thread = self._lock([key]).get(key)
            if thread is None or thread.is_free or thread.is_expired:
                return None
            if run_id is not None:
                last = self._last_runs([thread]).get(thread.pk)
                if last is None or last.run_id != run_id:
                    return None
            flagged = self._run(
                "UPDATE {thread} SET stop_position=fence WHERE id=%s AND stop_position<fence",
                [thread.pk],
            )
            return thread.holder if flagged else None

    def holder(self, key: str) -> str | None:
        """Who holds a thread; ``None`` if nobody does, or nobody that is alive."""
        for row in self._select(
            f"SELECT holder FROM {{thread}} WHERE {{key}}=%s AND lease_expires>={self.now_ms}",
            [key],
        ):
            return row[0] or None
        return None

    def dead_run(self, key: str) -> DeadRun | None:
        """The run of a thread whose lease ran out, locked; in a transaction only."""
        thread = self._lock([key]).get(key)
        if thread is None or not thread.is_expired:
            return None
        for row in self._select(
            "SELECT id, {position}, agent_id, input FROM {run} "
            "WHERE thread_id=%s AND {position}=%s",
            [thread.pk, thread.fence],
        ):
            return DeadRun(row[0], row[1], row[2], bytes(row[3]))
        return None

    def delete_threads(self, keys: Sequence[str]) -> int:
        """Delete threads with everything that belongs to them; returns how many there were."""
        deleted = 0
        with transaction.atomic(using=self.alias):
            for thread in self._lock(sorted(keys)).values():
                runs = "(SELECT id FROM {run} WHERE thread_id=%s)"
                self._run(f"DELETE FROM {{segment}} WHERE run_id IN {runs}", [thread.pk])
                self._run("DELETE FROM {seen} WHERE thread_id=%s", [thread.pk])
                self._run("DELETE FROM {run} WHERE thread_id=%s", [thread.pk])
                deleted += self._run("DELETE FROM {thread} WHERE id=%s", [thread.pk])
        return deleted

    def drop_segments(self, seconds: float) -> int:
        """Drop the raw events of runs that ended longer ago; returns of how many runs."""
        before = self.connection.ops.adapt_datetimefield_value(
            datetime.now(UTC) - timedelta(seconds=seconds)
        )
        old = [
            row[0]
            for row in self._select(
                "SELECT DISTINCT s.run_id FROM {segment} s JOIN {run} r ON r.id=s.run_id "
                "WHERE r.ended_at<%s LIMIT 500",
                [before],
            )
        ]
        for chunk in _chunks(old):
            self._run(f"DELETE FROM {{segment}} WHERE run_id IN ({_marks(chunk)})", chunk)
        return len(old)

    def expired(self, limit: int) -> list[str]:
        """Keys of threads whose lease ran out."""
        return [
            row[0]
            for row in self._select(
                f"SELECT {{key}} FROM {{thread}} WHERE holder<>'' AND lease_expires<{self.now_ms} "
                f"ORDER BY lease_expires LIMIT {int(limit)}",
                [],
            )
        ]

    # -- reading --------------------------------------------------------------------------------

    def head(self, key: str) -> Head | None:
        """What a reader needs to know of a thread before it starts."""
        for row in self._select(
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
            for row in self._select(
                "SELECT id, {position}, status, modern, compacted FROM {run} "
                "WHERE thread_id=%s AND {position}>%s AND {position}<=%s AND status<>%s "
                f"ORDER BY {{position}} LIMIT {int(limit)}",
                [thread, after, upto, Status.SUPERSEDED.value],
            )
        ]

    def run(self, pk: int) -> StoredRun | None:
        """One run."""
        for row in self._select(
            "SELECT id, {position}, status, modern, compacted FROM {run} WHERE id=%s", [pk]
        ):
            return _stored_run(row)
        return None

    def segments(self, places: Sequence[tuple[int, int]]) -> list[tuple[int, int, int, bytes]]:
        """``(run, first, last, data)`` of raw events that end at or behind a number, per run."""
        found = []
        for chunk in _chunks(places, width=2):
            where = " OR ".join(["(run_id=%s AND {last}>=%s)"] * len(chunk))
            for row in self._select(
                f"SELECT run_id, {{first}}, {{last}}, data FROM {{segment}} WHERE {where} "
                "ORDER BY run_id, {first}",
                [value for place in chunk for value in place],
            ):
                found.append((row[0], row[1], row[2], bytes(row[3])))
        return found

    def followed(self, runs: Sequence[int]) -> list[tuple[int, str, int | None, str, bool]]:
        """``(run, status, event_count, thread key, lease ran out)`` of some runs."""
        return [
            (row[0], row[1], row[2], row[3], bool(row[4]))
            for chunk in _chunks(runs)
            for row in self._select(
                "SELECT r.id, r.status, r.event_count, t.{key}, "
                f"(t.holder<>'' AND t.lease_expires<{self.now_ms} AND t.fence=r.{{position}}) "
                "FROM {run} r JOIN {thread} t ON t.id=r.thread_id "
                f"WHERE r.id IN ({_marks(chunk)})",
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

    # -- statements -----------------------------------------------------------------------------

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

    def _select(self, sql: str, parameters: Sequence[Any]) -> Iterator[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(self._named(sql), parameters)
            return iter(cursor.fetchall())

    def _run(self, sql: str, parameters: Sequence[Any]) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(self._named(sql), parameters)
            return int(cursor.rowcount)

    def _many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        with self.connection.cursor() as cursor:
            cursor.executemany(self._named(sql), rows)

    def _insert(
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
        one = f"({_marks(columns)})"
        with self.connection.cursor() as cursor:
            for chunk in _chunks(rows, width=len(columns)):
                cursor.execute(
                    f"{verb} {table} ({names}) VALUES {', '.join([one] * len(chunk))} {suffix}",
                    [value for row in chunk for value in row],
                )

    def _binary(self, data: bytes) -> Any:
        return self.connection.Database.Binary(data)

    def _json(self, value: Any) -> Any:
        return Run._meta.get_field("usage").get_db_prep_save(value, self.connection)

    def _now(self) -> Any:
        return self.connection.ops.adapt_datetimefield_value(datetime.now(UTC))

    def _moment(self, value: Any) -> datetime | None:
        """A moment as the driver gives it, which for SQLite is text."""
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if value is not None and value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return value  # type: ignore[no-any-return]


@dataclass
class _Answers:
    """What each of some writes is answered."""

    writes: Sequence[Write]
    given: dict[int, Any] = field(default_factory=dict)

    def give(self, write: Write, answer: Any) -> None:
        self.given[id(write)] = answer

    def pending(self, kind: type[Any]) -> list[Any]:
        return [write for write in self.writes if isinstance(write, kind)]

    def in_order(self) -> list[Any]:
        return [self.given[id(write)] for write in self.writes]


def _owns(write: Append | Finish | Release, threads: dict[str, LockedThread]) -> bool:
    thread = threads.get(write.key)
    return thread is not None and thread.fence == write.position and not thread.is_free


def _refusal(claim: Claim, thread: LockedThread, last: LastRun | None) -> Any:
    """Why a claim may not have the thread, or ``None`` if it may."""
    same = last is not None and (last.run_id, last.digest) == (claim.run_id, claim.digest)
    if last is not None and same and not thread.is_expired:
        if not thread.is_free:
            return Again(last.pk, thread.fence, live=True)
        age = time.time() - last.ended_at.timestamp() if last.ended_at else None
        if age is not None and age < claim.resend_seconds:
            return Again(last.pk, thread.fence, live=False)
    if thread.is_expired:
        return Expired()
    return None if thread.is_free or claim.supersede else Busy()


def _stored_run(row: Sequence[Any]) -> StoredRun:
    pk, position, status, modern, compacted = row
    return StoredRun(
        pk, position, status, bool(modern), None if compacted is None else bytes(compacted)
    )


def _marks(values: Sequence[Any]) -> str:
    return ",".join(["%s"] * len(values))


def _places(places: Sequence[Any]) -> str:
    """The condition for (thread, position) pairs; not every database takes rows in a list."""
    return " OR ".join(["(thread_id=%s AND {position}=%s)"] * len(places))


def _chunks(values: Sequence[Any], width: int = 1) -> Iterator[Sequence[Any]]:
    """Parts of a sequence small enough for the parameters of one statement."""
    size = max(1, MAX_PARAMETERS // width)
    for start in range(0, len(values), size):
        yield values[start : start + size]


def lines(events: Iterable[Any]) -> bytes:
    """Events in stored form: one JSON object a line."""
    return b"\n".join(encode(event) for event in events)
