"""The statements of the persistent runner, one transaction at a time."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.utils import timezone

from copilotkit_django.models import Run, SeenMessage, Segment, Thread
from copilotkit_django.runners import sql
from copilotkit_django.runners.recovery import reap
from copilotkit_django.runners.store import Store
from copilotkit_django.runners.writes import (
    Again,
    Busy,
    Claimed,
    Done,
    Expired,
    Gone,
    Status,
)

from .asking import thread
from .stores import DATABASES
from .writing import append, claim, finish, release

pytestmark = pytest.mark.parametrize("store", DATABASES, indirect=True)


@pytest.fixture
def statements(store) -> Store:
    return Store(store)


def do(statements, *writes):
    answers = statements.write(writes)
    return answers[0] if len(answers) == 1 else answers


def rows(statements, model, **where):
    return model.objects.using(statements.alias).filter(**where)


def expire(statements):
    rows(statements, Thread).update(lease_expires=1)


class TestClaim:
    def test_claim__new_thread(self, statements):
        """The first claim makes the thread and stores the run with what the user said."""
        claimed = do(statements, claim(stored_input=lambda seen: b'{"messages":["hi"]}'))

        assert isinstance(claimed, Claimed)
        row = rows(statements, Thread).get()
        assert (row.pk, row.fence, row.holder) == (claimed.thread, claimed.position, "holder")
        assert abs(row.lease_expires / 1000 - time.time() - 60) < 5
        run = rows(statements, Run).get()
        assert (run.pk, run.position, run.status) == (claimed.run, 1, Status.RUNNING)
        assert bytes(run.input) == b'{"messages":["hi"]}'

    def test_claim__twice(self, statements):
        """A commit whose answer was lost is found done when it is tried again."""
        wanted = claim()

        assert do(statements, wanted) == do(statements, wanted)
        assert rows(statements, Run).count() == 1

    def test_claim__busy(self, statements):
        """While somebody holds the thread nobody else gets it, not even in the same flush."""
        first, second = do(statements, claim(), claim(run_id="r2"))

        assert isinstance(first, Claimed)
        assert second == Busy()
        assert do(statements, claim(run_id="r3")) == Busy()

    def test_claim__same_request(self, statements):
        """The same request is told of the run it has started, live or just ended."""
        wanted = {"digest": "d", "resend_seconds": 60.0}
        first, second = do(statements, claim(**wanted), claim(**wanted))
        assert second == Again(first.run, 1, live=True)
        assert do(statements, claim(**wanted)) == Again(first.run, 1, live=True)

        do(statements, finish(first))

        assert do(statements, claim(**wanted)) == Again(first.run, 1, live=False)
        assert isinstance(do(statements, claim(**{**wanted, "digest": "e"})), Claimed)

    def test_claim__expired(self, statements):
        """A lease that ran out has to be cleared up first."""
        do(statements, claim())
        expire(statements)

        assert do(statements, claim(run_id="r2")) == Expired()

    def test_claim__supersede(self, statements):
        """Superseding takes the thread in the same statement as any other claim."""
        first = do(statements, claim())

        second = do(statements, claim(run_id="r2", supersede=True, holder="other"))

        assert second.position == first.position + 1
        assert rows(statements, Run).get(pk=first.run).status == Status.SUPERSEDED
        assert rows(statements, Thread).get().holder == "other"

    def test_claim__nobody_waits(self, statements):
        """A claim whose caller has left takes nothing."""
        assert do(statements, claim(cancelled=True)) == Gone()
        assert not rows(statements, Run).exists()

    def test_claim__many_messages(self, statements):
        """Of 5,000 incoming messages exactly the new ones are new."""
        first = do(statements, claim())
        do(statements, finish(first, message_ids=[f"m{n}" for n in range(4000)]))

        second = do(statements, claim(message_ids=[f"m{n}" for n in range(5000)]))

        assert second.seen == {f"m{n}" for n in range(4000)}

    def test_claim__message_ids_that_look_alike(self, statements):
        """Ids that a database would find equal are two messages."""
        first = do(statements, claim())
        do(statements, finish(first, message_ids=["a", "\ud83d"]))

        second = do(statements, claim(message_ids=["A", "a ", "á", "a", "\ud83d"]))

        assert second.seen == {"a", "\ud83d"}

    def test_claim__many_threads(self, statements):
        """Hundreds of claims in one flush, of threads old and new."""
        claims = [claim(f"t{n}") for n in range(600)]
        do(statements, *claims[::2])

        answers = do(statements, *claims)

        assert all(isinstance(answer, Claimed) for answer in answers)
        assert rows(statements, Thread).count() == rows(statements, Run).count() == 600


class TestFence:
    @pytest.fixture
    def stale(self, statements):
        """A run that has lost its thread to a later one."""
        first = do(statements, claim())
        do(statements, append(first, 0, b"1"))
        second = do(statements, claim(run_id="r2", supersede=True, holder="other"))
        return first, second

    def test_append__stale(self, statements, stale):
        """Who has lost the thread adds nothing to it."""
        first, second = stale

        assert do(statements, append(first, 1, b"2")) == Gone()
        assert do(statements, append(second, 0, b"3"), append(first, 1, b"2")) == [Done(), Gone()]
        assert rows(statements, Segment, run=first.run).count() == 1

    def test_finish__stale(self, statements, stale):
        """Nor does its end free the thread, or change what is said of it."""
        first, _ = stale

        assert do(statements, finish(first, message_ids=["m"])) == Gone()

        assert rows(statements, Thread).get().holder == "other"
        assert rows(statements, Run).get(pk=first.run).status == Status.SUPERSEDED
        assert not rows(statements, SeenMessage).exists()

    def test_release__stale(self, statements, stale):
        """Nor does it give back what it does not have."""
        first, second = stale

        assert do(statements, release(first)) == Gone()

        assert rows(statements, Thread).get().holder == "other"
        assert rows(statements, Run, pk__in=[first.run, second.run]).count() == 2

    def test_renew__stale(self, statements, stale):
        """Renewing one's leases does not prolong those of others."""
        expire(statements)

        statements.renew("holder", 60_000)

        assert rows(statements, Thread).get().lease_expires == 1

    def test_renew__some(self, statements):
        """Those that are named are renewed, in either way, and no others."""
        by_pk, by_key, neither = do(statements, claim("t1"), claim("t2"), claim("t3"))
        expire(statements)

        statements.renew("holder", 60_000, [by_pk.thread], [thread("t2").key])

        assert rows(statements, Thread).get(pk=by_pk.thread).lease_expires > 1
        assert rows(statements, Thread).get(pk=by_key.thread).lease_expires > 1
        assert rows(statements, Thread).get(pk=neither.thread).lease_expires == 1

    def test_renew__none(self, statements):
        """No thread is none of them, not all."""
        do(statements, claim())
        expire(statements)

        statements.renew("holder", 60_000, [])

        assert rows(statements, Thread).get().lease_expires == 1

    def test_renew__expired(self, statements):
        """An owner may renew a lease that ran out and that nobody took."""
        first = do(statements, claim())
        expire(statements)

        statements.renew("holder", 60_000)

        assert do(statements, finish(first)) == Done()

    def test_finish__of_a_deleted_thread(self, statements):
        """The end of a run whose thread was deleted and begun again frees nothing."""
        first = do(statements, claim())
        statements.delete_threads([thread().key])
        second = do(statements, claim(run_id="r2"))
        assert second.position == first.position

        assert do(statements, append(first, 0, b"1"), finish(first), release(first)) == [Gone()] * 3

        assert rows(statements, Thread).get().holder == "holder"
        assert do(statements, finish(second)) == Done()


class TestAgain:
    """The same writes given twice, as after a commit whose answer was lost."""

    def test_append__twice(self, statements):
        """Events are stored once."""
        first = do(statements, claim())
        rows_ = append(first, 0, b"1", b"2")

        assert do(statements, rows_) == do(statements, rows_) == Done()

        assert [bytes(each.data) for each in rows(statements, Segment)] == [b"1\n2"]

    def test_finish__twice(self, statements):
        """The run has ended once, and its owner is told so both times."""
        first = do(statements, claim())
        end = finish(first, tail=[append(first, 0, b"1")], message_ids=["m"], event_count=1)

        assert do(statements, end) == do(statements, end) == Done()

        assert rows(statements, Segment).count() == rows(statements, SeenMessage).count() == 1
        assert rows(statements, Thread).get().holder == ""

    def test_finish__twice_with_the_next_run_under_way(self, statements):
        """The second time takes nothing from whoever holds the thread by then."""
        first = do(statements, claim())
        end = finish(first)
        do(statements, end)
        do(statements, claim(run_id="r2", holder="other"))

        assert do(statements, end) == Done()

        assert rows(statements, Thread).get().holder == "other"

    def test_write__all_of_a_batch_twice(self, statements):
        """A whole flush may be repeated."""
        first = do(statements, claim())
        other = claim("t2")
        batch = [append(first, 0, b"1"), append(first, 1, b"2"), finish(first), other]

        answers = statements.write(batch)
        again = statements.write(batch)

        assert again[2:] == answers[2:]
        assert rows(statements, Run).count() == 2
        assert rows(statements, Segment).count() == 2


class TestRelease:
    def test_release__new_thread(self, statements):
        """A claim that came to nothing leaves nothing."""
        first = do(statements, claim())

        assert do(statements, release(first)) == Done()

        assert not rows(statements, Run).exists()
        assert not rows(statements, Thread).exists()

    def test_release__known_thread(self, statements):
        """A thread with runs stays, and its next run has a higher position."""
        first = do(statements, claim())
        do(statements, finish(first))
        second = do(statements, claim(run_id="r2"))

        do(statements, append(second, 0, b"1"), release(second))

        assert rows(statements, Run).get().pk == first.run
        assert do(statements, claim(run_id="r3")).position == 3

    def test_release__and_claim_at_once(self, statements):
        """Somebody who wants the thread in the same flush gets it."""
        first = do(statements, claim())

        _, second = do(statements, release(first), claim(run_id="r2"))

        assert isinstance(second, Claimed)
        assert rows(statements, Thread).get().holder == "holder"


class TestCost:
    def test_write__length_of_the_thread(self, statements):
        """Starting and ending a run takes as many statements on a long thread as on a short one."""
        counts = []

        def count(execute, *arguments):
            counts[-1] += 1
            return execute(*arguments)

        with connections[statements.alias].execute_wrapper(count):
            for number in range(60):
                counts.append(0)
                wanted = claim(run_id=f"r{number}", message_ids=[f"m{number}", "m0"])
                claimed = do(statements, wanted)
                tail = append(claimed, 0, b"1")
                do(statements, finish(claimed, tail=[tail], message_ids=[f"m{number}"]))

        assert len(set(counts[2:])) == 1
        assert counts[-1] <= 16

    def test_write__number_of_runs(self, statements):
        """A hundred runs in one flush take hardly more statements than one."""
        counts = []

        def count(execute, sql_, parameters, many, context):
            counts[-1] += 1
            return execute(sql_, parameters, many, context)

        with connections[statements.alias].execute_wrapper(count):
            for many in (1, 60):
                counts.append(0)
                names = [f"t{many}-{n}" for n in range(many)]
                claimed = statements.write([claim(name) for name in names])
                statements.write(
                    [finish(one, thread_id=name) for one, name in zip(claimed, names, strict=True)]
                )

        assert counts[1] <= counts[0] + 2


class TestHeldWithoutRun:
    """A thread that is held for a run that is not there."""

    def test_reap__frees_it(self, statements):
        """When the lease runs out there is nothing to end, and the thread is free again."""
        do(statements, claim("t1"))
        rows(statements, Run).delete()
        expire(statements)
        assert isinstance(do(statements, claim("t1", token="next")), Expired)

        assert reap(statements, thread("t1").key) is None

        assert statements.expired(10) == []
        assert isinstance(do(statements, claim("t1", token="next")), Claimed)

    def test_reap__lease_runs(self, statements):
        """Before that it stays held."""
        do(statements, claim("t1"))
        rows(statements, Run).delete()

        assert reap(statements, thread("t1").key) is None

        assert isinstance(do(statements, claim("t1", token="next")), Busy)


class TestSegments:
    def test_drop_segments__old(self, statements):
        """Raw events of runs that ended long ago go, those of recent and live runs stay."""
        ended = do(statements, claim("t1"))
        do(
            statements,
            append(ended, 0, b"1"),
            finish(ended, tail=[append(ended, 1, b"2")], event_count=2),
        )
        live = do(statements, claim("t2"))
        do(statements, append(live, 0, b"1", thread_id="t2"))

        now = timezone.now()
        minute = timedelta(minutes=1)
        assert statements.with_segments(now - minute) == []
        assert statements.with_segments(now + minute) == [ended.run]
        assert statements.with_segments(now + minute, now - minute) == [ended.run]
        assert statements.with_segments(now + 2 * minute, now + minute) == []
        statements.drop_segments([ended.run])

        assert [each.run_id for each in rows(statements, Segment)] == [live.run]
        assert rows(statements, Run).get(pk=ended.run).compacted

    def test_with_segments__many_runs(self, statements, store):
        """Among many runs that have ended those that did so lately are found by an index."""
        ended = do(statements, claim("t1"))
        do(statements, append(ended, 0, b"1"), finish(ended, event_count=1))
        fields = {
            field.attname: getattr(rows(statements, Run).get(), field.attname)
            for field in Run._meta.concrete_fields
            if field.attname not in ("id", "position", "ended_at")
        }
        long_ago = timezone.now() - timedelta(days=30)
        Run.objects.using(store).bulk_create(
            (Run(position=number, ended_at=long_ago, **fields) for number in range(2, 5002)),
            batch_size=500,
        )
        now, minute = timezone.now(), timedelta(minutes=1)

        begin = time.perf_counter()
        assert statements.with_segments(now + minute, now - minute) == [ended.run]
        print(f"{store}: {(time.perf_counter() - begin) * 1000:.1f} ms")

        lately = Run.objects.using(store).filter(ended_at__lt=now, ended_at__gte=now - minute)
        plan = lately.values("pk").explain()
        print(plan)
        if connections[store].vendor == "sqlite":
            assert "copilotkit_run_ended" in plan

    def test_segments__large(self, statements, monkeypatch):
        """Rows of more bytes than one statement takes go in several."""
        monkeypatch.setattr(sql, "MAX_BYTES", 1000)
        first = do(statements, claim())
        data = [bytes([65 + n]) * 400 for n in range(10)]

        do(statements, *(append(first, n, each) for n, each in enumerate(data)))

        found = statements.segments([(first.run, 0)])
        assert [row[3] for row in found] == data

    def test_segments__every_byte(self, statements):
        """Whatever bytes there are come back as they were."""
        first = do(statements, claim())
        data = bytes(range(256)).replace(b"\n", b"")

        do(statements, append(first, 0, data))

        assert statements.segments([(first.run, 0)])[0][3] == data


class TestStop:
    def test_request_stop__once(self, statements):
        """The owner is named the first time; a run that is stopping cannot be stopped again."""
        do(statements, claim())

        assert statements.request_stop(thread().key, None) == "holder"
        assert statements.request_stop(thread().key, None) is None
        assert statements.request_stop(thread("t2").key, None) is None

    def test_request_stop__next_run(self, statements):
        """The flag is that of one run."""
        first = do(statements, claim())
        statements.request_stop(thread().key, "r1")
        do(statements, finish(first))
        assert statements.request_stop(thread().key, None) is None

        second = do(statements, claim(run_id="r2"))

        assert statements.request_stop(thread().key, "r1") is None
        assert statements.request_stop(thread().key, "r2") == "holder"
        assert second.position == 2

    def test_request_stop__expired(self, statements):
        """Nobody would hear it."""
        do(statements, claim())
        expire(statements)

        assert statements.request_stop(thread().key, None) is None


class TestText:
    @pytest.mark.parametrize("text", ["", "nul \x00", "half \ud83d", "🦜" * 10, "x" * 100_000])
    def test_finish__error_of_any_kind(self, statements, text):
        """Whatever an agent's error says, the run can be ended."""
        first = do(statements, claim())

        assert do(statements, finish(first, error=text, status=Status.FAILED)) == Done()

        kept = rows(statements, Run).get().error
        assert kept[:3] == text[:3]

    @pytest.mark.parametrize("value", ["nul \x00", "half \ud83d", "🦜"])
    def test_finish__usage_of_any_kind(self, statements, value):
        """Whatever it reports of its usage, too."""
        first = do(statements, claim())

        assert do(statements, finish(first, usage=[{"model": value, "tokens": 1}])) == Done()

        kept = rows(statements, Run).get().usage
        assert kept is None or kept[0]["tokens"] == 1


class TestUsers:
    def test_delete__user(self, statements):
        """The threads of a user go with the user, with everything that belongs to them."""
        user = get_user_model()(username="alice")
        user.save(using=statements.alias)
        try:
            first = do(statements, claim(user=user))
            do(statements, append(first, 0, b"1"))
            do(statements, finish(first, message_ids=["m"]))
            do(statements, claim("t2"))
            assert rows(statements, Thread).get(user=user).thread_id == "t1"
        finally:
            user.delete(using=statements.alias)

        assert rows(statements, Thread).get().thread_id == "t2"
        assert rows(statements, Run).count() == 1
        assert not rows(statements, Segment).exists()
        assert not rows(statements, SeenMessage).exists()

    def test_in_scope__exactly(self, statements):
        """Threads are those of one scope to the letter, whatever the database thinks of case."""
        for scope in ("user:a", "USER:A", "user:á", "user:a "):
            do(statements, claim(scope=scope))

        for scope in ("user:a", "USER:A", "user:á", "user:a "):
            found = Thread.objects.using(statements.alias).in_scope(scope)
            assert [each.scope for each in found] == [scope]
