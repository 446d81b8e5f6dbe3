"""What the persistent runner writes: few statements, many rows each, no instances.

Everything here is synchronous and uses the connection of the thread it is called on. A `Write` is
a thing to be done in a flush; `Store.write` does many of them in one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone

from copilotkit_django.budgets import Window
from copilotkit_django.events.wire import encode
from copilotkit_django.keys import digest_of
from copilotkit_django.models import SeenMessage, Segment, TokenCount
from copilotkit_django.runners.claims import Answers, Claims, LockedThread
from copilotkit_django.runners.sql import chunks, marks
from copilotkit_django.runners.writes import (
    Append,
    Claim,
    Done,
    Finish,
    Gone,
    Release,
    Spend,
    Write,
)

#: So many counts of tokens are dropped in one go.
SWEEP_ROWS = 500

#: Raw events of so many runs are dropped in one go.
SWEEP_RUNS = 500


class DeadRun(NamedTuple):
    """A run whose process is gone; ``input`` is its echo as stored."""

    thread: int
    pk: int
    position: int
    agent_id: str
    input: bytes


class Store(Claims):
    """The statements, for one database."""

    # -- flushes --------------------------------------------------------------------------------

    def write(self, writes: Sequence[Write]) -> list[Any]:
        """Do all of it in one transaction; returns one answer per write, in order.

        Rows are locked in the order of their keys, so that two processes cannot wait for each
        other. What belongs to a run that lost its thread is dropped and answered `Gone`. Writes
        whose threads have changed hands are given the new keys.
        """
        while True:
            answers = self._write(writes)
            if answers is not None:
                return answers.in_order()

    def _write(self, writes: Sequence[Write]) -> Answers | None:
        """Do it, or nothing if some of the keys turned out to be out of date."""
        claims = [write for write in writes if isinstance(write, Claim)]
        with self.transaction():
            threads = self.lock(sorted({write.key for write in writes if write.key}))
            if self._catch_up(writes, threads):
                # Begun anew: rows that are locked later are no longer locked in order.
                return None
            new = {claim.key: claim for claim in claims if claim.key not in threads}
            if new:
                self.create_threads([new[key] for key in sorted(new)])
                threads |= self.lock(sorted(new))
            answers = Answers(writes)
            self._append_all(answers, threads)
            self._finish_all(answers, threads)
            self._release_all(answers, threads)
            if claims:
                self.claim_all(answers, claims, threads)
            self._spend_all(answers)
        return answers

    def _catch_up(self, writes: Sequence[Write], threads: dict[str, LockedThread]) -> bool:
        """Give writes of threads that have changed hands their new keys; false if none have."""
        strayed = [
            write
            for write in writes
            if isinstance(write, Append | Finish | Release)
            and (write.key not in threads or threads[write.key].pk != write.thread)
        ]
        if not strayed:
            return False
        keys = {
            pk: key
            for chunk in chunks(sorted({write.thread for write in strayed}))
            for pk, key in self.select(
                f"SELECT id, {{key}} FROM {{thread}} WHERE id IN ({marks(chunk)})", chunk
            )
        }
        moved = [write for write in strayed if keys.get(write.thread, write.key) != write.key]
        for write in moved:
            write.key = keys[write.thread]
        return bool(moved)

    def _append_all(self, answers: Answers, threads: dict[str, LockedThread]) -> None:
        rows = []
        for write in answers.pending(Append):
            if _owns(write, threads):
                rows.append((write.run, write.first, write.last, self.binary(write.data)))
                answers.give(write, Done())
            else:
                answers.give(write, Gone())
        self.insert(Segment, ("run_id", "first", "last", "data"), rows, ignore=True)

    def _finish_all(self, answers: Answers, threads: dict[str, LockedThread]) -> None:
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

    def _release_all(self, answers: Answers, threads: dict[str, LockedThread]) -> None:
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
                    "UPDATE {thread} SET holder='', lease_expires=0, updated_at=%s "
                    "WHERE id=%s AND fence=%s",
                    [self.now(), threads[write.key].pk, write.position],
                )
                threads[write.key].holder = ""

    def _delete_empty_thread(self, thread: int) -> bool:
        """Delete a thread that has never had a run worth keeping; false if it has."""
        is_empty = (
            "id=%s AND last_run_at IS NULL AND NOT EXISTS (SELECT 1 FROM {run} WHERE thread_id=%s)"
        )
        # It may have been shown while its run was live.
        self._remember_deleted(is_empty, [thread, thread])
        return bool(self.execute(f"DELETE FROM {{thread}} WHERE {is_empty}", [thread, thread]))

    def _remember_deleted(self, condition: str, parameters: Sequence[Any]) -> None:
        self.execute(
            "INSERT INTO {deleted} (scope_key, thread_id, deleted_at) "
            f"SELECT scope_key, thread_id, %s FROM {{thread}} WHERE {condition}",
            [self.now(), *parameters],
        )

    # -- tokens ---------------------------------------------------------------------------------

    def _spend_all(self, answers: Answers) -> None:
        counts: Counter[tuple[str, int, int]] = Counter()
        for write in answers.pending(Spend):
            for window in write.windows:
                counts[write.owner, window.period, window.ends] += write.tokens
            answers.give(write, Done())
        # Behind the threads and sorted, so that two processes lock rows in the same order.
        self.insert(
            TokenCount,
            ("owner", "period", "ends", "tokens"),
            [(*place, tokens) for place, tokens in sorted(counts.items())],
            suffix=self.adding(TokenCount, "tokens", ("owner", "period", "ends")),
        )

    def tokens(self, owner: str, windows: Sequence[Window]) -> list[int]:
        """How many tokens an owner has used in each of some windows."""
        where = " OR ".join(["({period}=%s AND ends=%s)"] * len(windows))
        found = {
            Window(period, ends): int(tokens)
            for period, ends, tokens in self.select(
                f"SELECT {{period}}, ends, tokens FROM {{tokens}} WHERE owner=%s AND ({where})",
                [owner, *(value for window in windows for value in window)],
            )
        }
        return [found.get(window, 0) for window in windows]

    def old_tokens(self, now: int) -> list[int]:
        """Some counts of windows that are over."""
        return [
            row[0]
            for row in self.select(
                f"SELECT id FROM {{tokens}} WHERE ends<%s LIMIT {SWEEP_ROWS}", [now]
            )
        ]

    def drop_tokens(self, counts: Sequence[int]) -> None:
        for chunk in chunks(counts):
            self.execute(f"DELETE FROM {{tokens}} WHERE id IN ({marks(chunk)})", chunk)

    # -- leases ---------------------------------------------------------------------------------

    def renew(
        self,
        holder: str,
        lease_ms: int,
        threads: Sequence[int] | None = None,
        keys: Sequence[str] = (),
    ) -> None:
        """Renew the leases a holder has of some threads, named in two ways, or of all."""
        named = [("id", chunk) for chunk in chunks(threads or ())]
        named += [("{key}", chunk) for chunk in chunks(keys)]
        which = [(f" AND {column} IN ({marks(chunk)})", chunk) for column, chunk in named]
        for condition, values in [("", ())] if threads is None else which:
            with self.transaction():
                self.execute(
                    f"UPDATE {{thread}} SET lease_expires={self.now_ms} + %s "
                    f"WHERE holder=%s{condition}",
                    [lease_ms, holder, *values],
                )

    def request_stop(self, key: str, run_id: str | None) -> str | None:
        """Flag a live run to be stopped by whoever owns it; its holder, or ``None``.

        A run that was flagged before, or is not the one named ``run_id``, counts as none.
        """
        with self.transaction():
            thread = self.lock([key]).get(key)
            if thread is None or thread.is_free or thread.is_expired:
                return None
            if run_id is not None:
                last = self.last_runs([thread]).get(thread.pk)
                if last is None or last.run_id != run_id:
                    return None
            flagged = self.execute(
                "UPDATE {thread} SET stop_position=fence WHERE id=%s AND stop_position<fence",
                [thread.pk],
            )
            return thread.holder if flagged else None

    def dead_run(self, key: str, *, spare: str | None = None) -> DeadRun | None:
        """The run of a thread whose lease ran out, locked; in a transaction only.

        What the holder ``spare`` holds is not dead. A thread that is held without a run is freed.
        """
        thread = self.lock([key]).get(key)
        if thread is None or not thread.is_expired or thread.holder == spare:
            return None
        for row in self.select(
            "SELECT id, {position}, agent_id, input FROM {run} "
            "WHERE thread_id=%s AND {position}=%s",
            [thread.pk, thread.fence],
        ):
            return DeadRun(thread.pk, row[0], row[1], row[2], bytes(row[3]))
        # Held for a run that is not there: nobody can end it, and the thread would be lost.
        self.execute(
            "UPDATE {thread} SET holder='', lease_expires=0 WHERE id=%s AND fence=%s",
            [thread.pk, thread.fence],
        )
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
            for thread in self.lock(sorted(keys)).values():
                if untouched_since is not None and not self._is_stale(thread, untouched_since):
                    continue
                runs = "(SELECT id FROM {run} WHERE thread_id=%s)"
                self.execute(f"DELETE FROM {{segment}} WHERE run_id IN {runs}", [thread.pk])
                self.execute("DELETE FROM {seen} WHERE thread_id=%s", [thread.pk])
                self.execute("DELETE FROM {run} WHERE thread_id=%s", [thread.pk])
                self._remember_deleted("id=%s", [thread.pk])
                deleted += self.execute("DELETE FROM {thread} WHERE id=%s", [thread.pk])
        return deleted

    def _is_stale(self, thread: LockedThread, moment: datetime) -> bool:
        before = self.connection.ops.adapt_datetimefield_value(moment)
        found = self.select(
            "SELECT 1 FROM {thread} WHERE id=%s AND updated_at<%s", [thread.pk, before]
        )
        return thread.is_free and any(found)

    def drop_deleted(self, seconds: float) -> None:
        """Forget which threads were deleted longer ago."""
        before = self.connection.ops.adapt_datetimefield_value(
            timezone.now() - timedelta(seconds=seconds)
        )
        self.execute("DELETE FROM {deleted} WHERE deleted_at<%s", [before])

    def with_segments(self, before: datetime, after: datetime | None = None) -> list[int]:
        """Some runs with raw events that ended before a moment, and after another if one is given.

        Without that all runs there have ever been are looked at.
        """
        moments = [moment for moment in (before, after) if moment is not None]
        ended = "ended_at<%s" if after is None else "ended_at<%s AND ended_at>=%s"
        return [
            row[0]
            for row in self.select(
                "SELECT DISTINCT run_id FROM {segment} WHERE run_id IN "
                f"(SELECT id FROM {{run}} WHERE {ended}) LIMIT {SWEEP_RUNS}",
                [self.connection.ops.adapt_datetimefield_value(moment) for moment in moments],
            )
        ]

    def drop_segments(self, runs: Sequence[int]) -> None:
        """Drop the raw events of some runs."""
        for chunk in chunks(runs):
            self.execute(f"DELETE FROM {{segment}} WHERE run_id IN ({marks(chunk)})", chunk)


def _owns(write: Append | Finish | Release, threads: dict[str, LockedThread]) -> bool:
    thread = threads.get(write.key)
    if thread is None or thread.is_free:
        return False
    # A thread deleted and begun again counts its runs from the start.
    return (thread.pk, thread.fence) == (write.thread, write.position)


def lines(events: Iterable[Any]) -> bytes:
    """Events in stored form: one JSON object a line."""
    return b"\n".join(encode(event) for event in events)
