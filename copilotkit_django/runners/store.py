"""What the persistent runner writes: few statements, many rows each, no instances.

Everything here is synchronous and uses the connection of the thread it is called on. A `Write` is
a thing to be done in a flush; `Store.write` does many of them in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone

from copilotkit_django.events.wire import encode
from copilotkit_django.keys import digest_of
from copilotkit_django.models import Run, SeenMessage, Segment, Thread
from copilotkit_django.runners.reads import Reads
from copilotkit_django.runners.sql import chunks, marks, place_marks
from copilotkit_django.runners.writes import (
    Again,
    Append,
    Busy,
    Claim,
    Claimed,
    Done,
    Expired,
    Finish,
    Gone,
    Release,
    Status,
    Write,
)

#: Raw events of so many runs are dropped in one go.
SWEEP_RUNS = 500


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


class DeadRun(NamedTuple):
    """A run whose process is gone; ``input`` is its echo as stored."""

    thread: int
    pk: int
    position: int
    agent_id: str
    input: bytes


class Store(Reads):
    """The statements, for one database."""

    # -- flushes --------------------------------------------------------------------------------

    def write(self, writes: Sequence[Write]) -> list[Any]:
        """Do all of it in one transaction; returns one answer per write, in order.

        Rows are locked in the order of their keys, so that two processes cannot wait for each
        other. What belongs to a run that lost its thread is dropped and answered `Gone`.
        """
        claims = [write for write in writes if isinstance(write, Claim)]
        with self.transaction():
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
        now = self.now()
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
        self.insert(Thread, columns.split(), rows, ignore=True)

    def _lock(self, keys: Sequence[str]) -> dict[str, LockedThread]:
        for_update = " FOR UPDATE" if self.connection.features.has_select_for_update else ""
        return {
            row[1]: LockedThread(*row)
            for chunk in chunks(keys)
            for row in self.select(
                f"SELECT id, {{key}}, holder, lease_expires, fence, {self.now_ms} FROM {{thread}} "
                f"WHERE {{key}} IN ({marks(chunk)}) ORDER BY {{key}}{for_update}",
                chunk,
            )
        }

    def _append_all(self, answers: _Answers, threads: dict[str, LockedThread]) -> None:
        rows = []
        for write in answers.pending(Append):
            if _owns(write, threads):
                rows.append((write.run, write.first, write.last, self.binary(write.data)))
                answers.give(write, Done())
            else:
                answers.give(write, Gone())
        self.insert(Segment, ("run_id", "first", "last", "data"), rows, ignore=True)

    def _finish_all(self, answers: _Answers, threads: dict[str, LockedThread]) -> None:
        finishes = []
        for write in answers.pending(Finish):
            owns = _owns(write, threads)
            if owns:
                finishes.append(write)
            # Committed before, only the answer was lost on the way.
            done = owns or self._has_ended(write)
            answers.give(write, Done() if done else Gone())
        if not finishes:
            return
        now = self.now()
        self.execute_many(
            "UPDATE {run} SET status=%s, error=%s, {usage}=%s, ended_at=%s, event_count=%s, "
            "kept_count=%s, compacted=%s WHERE id=%s",
            [
                (
                    write.status.value,
                    self.text(write.error),
                    self.json(write.usage),
                    now,
                    write.event_count,
                    write.kept_count,
                    self.binary(write.compacted),
                    write.run,
                )
                for write in finishes
            ],
        )
        self.execute_many(
            "UPDATE {thread} SET holder='', lease_expires=0, agent_id=%s, updated_at=%s, "
            "last_run_at=%s WHERE id=%s AND fence=%s",
            [
                (write.agent_id, now, now, threads[write.key].pk, write.position)
                for write in finishes
            ],
        )
        tails = [tail for write in finishes for tail in write.tail]
        self.insert(
            Segment,
            ("run_id", "first", "last", "data"),
            [(tail.run, tail.first, tail.last, self.binary(tail.data)) for tail in tails],
            ignore=True,
        )
        seen = {
            (threads[write.key].pk, digest_of(message_id))
            for write in finishes
            for message_id in write.message_ids
        }
        # Sorted, so that two processes insert what they share in the same order.
        self.insert(SeenMessage, ("thread_id", "digest"), sorted(seen), ignore=True)
        for write in finishes:
            threads[write.key].holder = ""

    def _has_ended(self, write: Finish) -> bool:
        found = self.select("SELECT status FROM {run} WHERE id=%s", [write.run])
        return [status for (status,) in found] == [write.status.value]

    def _release_all(self, answers: _Answers, threads: dict[str, LockedThread]) -> None:
        claimed = {claim.key for claim in answers.pending(Claim)}
        for write in answers.pending(Release):
            owns = _owns(write, threads)
            answers.give(write, Done() if owns else Gone())
            if owns:
                self.execute("DELETE FROM {segment} WHERE run_id=%s", [write.run])
                self.execute("DELETE FROM {run} WHERE id=%s", [write.run])
                if write.key not in claimed and self._delete_empty_thread(write.thread):
                    del threads[write.key]
                    continue
                self.execute(
                    "UPDATE {thread} SET holder='', lease_expires=0 WHERE id=%s AND fence=%s",
                    [threads[write.key].pk, write.position],
                )
                threads[write.key].holder = ""

    def _delete_empty_thread(self, thread: int) -> bool:
        """Delete a thread that has never had a run worth keeping; false if it has."""
        return bool(
            self.execute(
                "DELETE FROM {thread} WHERE id=%s AND last_run_at IS NULL "
                "AND NOT EXISTS (SELECT 1 FROM {run} WHERE thread_id=%s)",
                [thread, thread],
            )
        )

    def _claim_all(
        self, answers: _Answers, claims: Sequence[Claim], threads: dict[str, LockedThread]
    ) -> None:
        last_runs = self._last_runs([threads[c.key] for c in claims if c.key in threads])
        granted: list[tuple[Claim, LockedThread, frozenset[str]]] = []
        superseded: list[LockedThread] = []
        taken: dict[str, Claim] = {}
        again: list[Claim] = []
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
            first = taken.get(claim.key)
            if first is not None and _is_same(claim, first):
                again.append(claim)
                continue
            refusal = Busy() if first is not None else _refusal(claim, thread, last)
            if refusal is not None:
                answers.give(claim, refusal)
                continue
            taken[claim.key] = claim
            granted.append((claim, thread, self._seen(claim, thread)))
            if not thread.is_free:
                superseded.append(thread)
        self._supersede(superseded)
        runs = self._start_runs(granted)
        for claim, thread, seen in granted:
            position = thread.fence + 1
            answers.give(claim, Claimed(thread.pk, runs[thread.pk, position], position, seen))
        for claim in again:
            thread = threads[claim.key]
            position = thread.fence + 1
            answers.give(claim, Again(runs[thread.pk, position], position, live=True))

    def _last_runs(self, threads: Sequence[LockedThread]) -> dict[int, LastRun]:
        places = sorted({(thread.pk, thread.fence) for thread in threads if thread.fence})
        found: dict[int, LastRun] = {}
        for chunk in chunks(places, width=2):
            for row in self.select(
                "SELECT thread_id, id, run_id, digest, token, status, ended_at FROM {run} "
                f"WHERE {place_marks(chunk)}",
                [value for place in chunk for value in place],
            ):
                _, pk, run_id, digest, token, status, ended_at = row
                moment = self.moment(ended_at)
                found[row[0]] = LastRun(pk, run_id, digest, token, status, moment)
        return found

    def _seen(self, claim: Claim, thread: LockedThread) -> frozenset[str]:
        """Those of a claim's message ids that its thread knows already."""
        if not thread.fence:
            return frozenset()
        ids = {digest_of(message_id): message_id for message_id in claim.message_ids}
        return frozenset(
            ids[row[0]]
            for chunk in chunks(list(ids))
            for row in self.select(
                f"SELECT digest FROM {{seen}} WHERE thread_id=%s AND digest IN ({marks(chunk)})",
                [thread.pk, *chunk],
            )
        )

    def _supersede(self, threads: Sequence[LockedThread]) -> None:
        now = self.now()
        self.execute_many(
            "UPDATE {run} SET status=%s, ended_at=%s WHERE thread_id=%s AND {position}=%s",
            [(Status.SUPERSEDED.value, now, thread.pk, thread.fence) for thread in threads],
        )

    def _start_runs(
        self, granted: Sequence[tuple[Claim, LockedThread, frozenset[str]]]
    ) -> dict[tuple[int, int], int]:
        if not granted:
            return {}
        now = self.now()
        # The rows are locked; the condition says once more, in the statement that takes the
        # thread, what was found when they were read.
        self.execute_many(
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
        self.insert(
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
                    self.binary(claim.stored_input(seen)),
                )
                for claim, thread, seen in granted
            ],
        )
        places = [(thread.pk, thread.fence + 1) for _, thread, _ in granted]
        runs: dict[tuple[int, int], int] = {}
        for chunk in chunks(places, width=2):
            for row in self.select(
                f"SELECT thread_id, {{position}}, id FROM {{run}} WHERE {place_marks(chunk)}",
                [value for place in chunk for value in place],
            ):
                runs[row[0], row[1]] = row[2]
        return runs

    # -- leases ---------------------------------------------------------------------------------

    def renew(self, holder: str, lease_ms: int, given_up: Iterable[int] = ()) -> None:
        """Renew all leases of a holder, except those of threads whose runs were given up."""
        threads = sorted(given_up)
        without = f" AND id NOT IN ({marks(threads)})" if threads else ""
        with self.transaction():
            self.execute(
                f"UPDATE {{thread}} SET lease_expires={self.now_ms} + %s WHERE holder=%s{without}",
                [lease_ms, holder, *threads],
            )

    def request_stop(self, key: str, run_id: str | None) -> str | None:
        """Flag a live run to be stopped by whoever owns it; its holder, or ``None``.

        A run that was flagged before, or is not the one named ``run_id``, counts as none.
        """
        with self.transaction():
            thread = self._lock([key]).get(key)
            if thread is None or thread.is_free or thread.is_expired:
                return None
            if run_id is not None:
                last = self._last_runs([thread]).get(thread.pk)
                if last is None or last.run_id != run_id:
                    return None
            flagged = self.execute(
                "UPDATE {thread} SET stop_position=fence WHERE id=%s AND stop_position<fence",
                [thread.pk],
            )
            return thread.holder if flagged else None

    def still_held(self, holder: str, threads: Sequence[int]) -> set[int]:
        """Those of some threads that a holder holds, be the lease expired or not."""
        return {
            row[0]
            for chunk in chunks(threads)
            for row in self.select(
                f"SELECT id FROM {{thread}} WHERE holder=%s AND id IN ({marks(chunk)})",
                [holder, *chunk],
            )
        }

    def dead_run(self, key: str, *, spare: str | None = None) -> DeadRun | None:
        """The run of a thread whose lease ran out, locked; in a transaction only.

        What the holder ``spare`` holds is not dead.
        """
        thread = self._lock([key]).get(key)
        if thread is None or not thread.is_expired or thread.holder == spare:
            return None
        for row in self.select(
            "SELECT id, {position}, agent_id, input FROM {run} "
            "WHERE thread_id=%s AND {position}=%s",
            [thread.pk, thread.fence],
        ):
            return DeadRun(thread.pk, row[0], row[1], row[2], bytes(row[3]))
        return None

    def delete_threads(
        self, keys: Sequence[str], *, untouched_since: datetime | None = None
    ) -> int:
        """Delete threads with everything that belongs to them; returns how many.

        With ``untouched_since`` only those that no run holds and nothing has changed since, as
        they are found once they are locked.
        """
        deleted = 0
        with self.transaction():
            for thread in self._lock(sorted(keys)).values():
                if untouched_since is not None and not self._is_stale(thread, untouched_since):
                    continue
                runs = "(SELECT id FROM {run} WHERE thread_id=%s)"
                self.execute(f"DELETE FROM {{segment}} WHERE run_id IN {runs}", [thread.pk])
                self.execute("DELETE FROM {seen} WHERE thread_id=%s", [thread.pk])
                self.execute("DELETE FROM {run} WHERE thread_id=%s", [thread.pk])
                deleted += self.execute("DELETE FROM {thread} WHERE id=%s", [thread.pk])
        return deleted

    def _is_stale(self, thread: LockedThread, moment: datetime) -> bool:
        before = self.connection.ops.adapt_datetimefield_value(moment)
        found = self.select(
            "SELECT 1 FROM {thread} WHERE id=%s AND updated_at<%s", [thread.pk, before]
        )
        return thread.is_free and any(found)

    def drop_segments(self, seconds: float) -> int:
        """Drop the raw events of some runs that ended longer ago; returns of how many."""
        before = self.connection.ops.adapt_datetimefield_value(
            timezone.now() - timedelta(seconds=seconds)
        )
        old = [
            row[0]
            for row in self.select(
                "SELECT DISTINCT s.run_id FROM {segment} s JOIN {run} r ON r.id=s.run_id "
                f"WHERE r.ended_at<%s LIMIT {SWEEP_RUNS}",
                [before],
            )
        ]
        for chunk in chunks(old):
            self.execute(f"DELETE FROM {{segment}} WHERE run_id IN ({marks(chunk)})", chunk)
        return len(old)


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
    if thread is None or thread.is_free:
        return False
    # A thread deleted and begun again counts its runs from the start.
    return (thread.pk, thread.fence) == (write.thread, write.position)


def _is_same(claim: Claim, other: Claim | LastRun) -> bool:
    """Whether a claim is a request that was sent before."""
    return bool(claim.digest) and (claim.run_id, claim.digest) == (other.run_id, other.digest)


def _refusal(claim: Claim, thread: LockedThread, last: LastRun | None) -> Any:
    """Why a claim may not have the thread, or ``None`` if it may."""
    if last is not None and _is_same(claim, last) and not thread.is_expired:
        if not thread.is_free:
            return Again(last.pk, thread.fence, live=True)
        age = time.time() - last.ended_at.timestamp() if last.ended_at else None
        if age is not None and age < claim.resend_seconds:
            return Again(last.pk, thread.fence, live=False)
    if thread.is_expired:
        return Expired()
    return None if thread.is_free or claim.supersede else Busy()


def lines(events: Iterable[Any]) -> bytes:
    """Events in stored form: one JSON object a line."""
    return b"\n".join(encode(event) for event in events)
