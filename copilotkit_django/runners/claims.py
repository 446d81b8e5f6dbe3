"""How the persistent runner gives a thread to a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from copilotkit_django.keys import digest_of
from copilotkit_django.models import Run, Thread
from copilotkit_django.runners.reads import Reads
from copilotkit_django.runners.sql import chunks, marks, place_marks
from copilotkit_django.runners.writes import (
    Again,
    Busy,
    Claim,
    Claimed,
    Expired,
    Gone,
    Status,
    Write,
)


@dataclass(slots=True)
class LockedThread:
    """A thread's row, locked for this transaction."""

    pk: int
    key: str
    memory_key: str
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
    """The newest run of a thread."""

    pk: int
    run_id: str
    digest: str
    token: str
    status: str
    ended_at: datetime | None


@dataclass
class Answers:
    """What each of some writes is answered."""

    writes: Sequence[Write]
    given: dict[int, Any] = field(default_factory=dict)

    def give(self, write: Write, answer: Any) -> None:
        self.given[id(write)] = answer

    def pending(self, kind: type[Any]) -> list[Any]:
        return [write for write in self.writes if isinstance(write, kind)]

    def in_order(self) -> list[Any]:
        return [self.given[id(write)] for write in self.writes]


class Claims(Reads):
    """The part of the store that takes threads. All of it happens within a transaction."""

    def lock(self, keys: Sequence[str]) -> dict[str, LockedThread]:
        """The rows of some threads by key, locked in the order of their keys."""
        for_update = " FOR UPDATE" if self.connection.features.has_select_for_update else ""
        return {
            row[1]: LockedThread(*row)
            for chunk in chunks(keys)
            for row in self.select(
                "SELECT id, {key}, memory_key, holder, lease_expires, fence, "
                f"{self.now_ms} FROM {{thread}} "
                f"WHERE {{key}} IN ({marks(chunk)}) ORDER BY {{key}}{for_update}",
                chunk,
            )
        }

    def create_threads(self, claims: Sequence[Claim]) -> None:
        """Rows for threads that may not have one yet."""
        now = self.now()
        rows = [
            (
                claim.ref.scope,
                digest_of(claim.ref.scope),
                self.user(claim.user),
                claim.ref.thread_id,
                claim.key,
                uuid4().hex,
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
            "scope scope_key user_id thread_id key memory_key agent_id name archived created_at "
            "updated_at holder lease_expires fence stop_position"
        )
        self.insert(Thread, columns.split(), rows, ignore=True)

    def claim_all(
        self, answers: Answers, claims: Sequence[Claim], threads: dict[str, LockedThread]
    ) -> None:
        """Answer each claim, and start the runs of those that may have their thread."""
        last_runs = self.last_runs([threads[c.key] for c in claims if c.key in threads])
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
                answers.give(
                    claim, Claimed(thread.pk, last.pk, thread.fence, seen, thread.memory_key)
                )
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
            run = runs[thread.pk, position]
            answers.give(claim, Claimed(thread.pk, run, position, seen, thread.memory_key))
        for claim in again:
            thread = threads[claim.key]
            position = thread.fence + 1
            answers.give(claim, Again(runs[thread.pk, position], position, live=True))

    def last_runs(self, threads: Sequence[LockedThread]) -> dict[int, LastRun]:
        """The newest run of each thread that has one, by the thread's primary key."""
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
            "UPDATE {thread} SET holder=%s, lease_expires=%s, fence=%s, stop_position=0, "
            "updated_at=%s "
            "WHERE id=%s AND fence=%s AND holder=%s",
            [
                (
                    claim.holder,
                    thread.now + claim.lease_ms,
                    thread.fence + 1,
                    now,
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
