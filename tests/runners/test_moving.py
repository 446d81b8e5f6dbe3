"""Threads that change hands while things happen on them: the contract, over every store."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time

import pytest
from django.contrib.auth.models import User

from copilotkit_django.models import Run, Thread
from copilotkit_django.runners import MovedThread, ThreadQuery, ThreadRef
from tests.acting import Parrot, Staged, opening
from tests.talk import kinds, text_of, within

from .asking import LONG, collect, history, request_for, run, runs_in, start, thread
from .stores import DATABASES

on_databases = pytest.mark.parametrize("store", DATABASES, indirect=True)

VISITOR = "anon:v"
USER = "user:7"


async def begin(runner, agent, *, scope=VISITOR, thread="t1", run="r1", **options):
    """A live run that has said its first words, and a task that reads it to its end."""
    request = request_for(agent, scope=scope, thread=thread, run=run, **options)
    reading = asyncio.create_task(collect(await runner.run(request)))
    await within(agent.waiting.wait())
    return reading


async def ids(runner, scope):
    return sorted(record.thread_id for record in await runner.threads.list(scope, ThreadQuery()))


async def free(runner, ref):
    """Return once no run holds the thread."""
    async with asyncio.timeout(5):
        while await runner.is_running(ref):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)


async def rows(runner, model=Thread, **where):
    found = model.objects.using(runner.store.alias).filter(**where).order_by("pk")
    return await runner.read(lambda: list(found))


class TestThreads:
    async def test_move__history(self, runner):
        """Everything said is found under the new scope, and nothing under the old one."""
        for number in ("1", "2"):
            await run(runner, text=f"said {number}", scope=VISITOR, run=f"r{number}")
        await runner.threads.update(ThreadRef(VISITOR, "t1"), name="Mine", archived=True)

        moved = await runner.threads.move(VISITOR, USER)

        (record,) = await runner.threads.list(USER, ThreadQuery(include_archived=True))
        assert (record.thread_id, record.name, record.archived) == ("t1", "Mine", True)
        assert text_of(await history(runner, scope=USER)) == "said 1said 2"
        assert await history(runner, scope=VISITOR) == []
        assert await runner.threads.list(VISITOR, ThreadQuery(include_archived=True)) == []
        assert moved == [MovedThread(ThreadRef(VISITOR, "t1"), ThreadRef(USER, "t1"))]

    async def test_move__nothing(self, runner):
        """A scope without threads has nothing to give, and one gives nothing to itself."""
        await run(runner, scope=USER)

        assert await runner.threads.move(VISITOR, USER) == []
        assert await runner.threads.move(USER, USER) == []

        assert await ids(runner, USER) == ["t1"]

    async def test_move__others(self, runner):
        """Threads of all other scopes stay where they are."""
        await run(runner, scope=VISITOR)
        await run(runner, scope="anon:w")

        await runner.threads.move(VISITOR, USER)

        assert await ids(runner, "anon:w") == ["t1"]

    async def test_move__same_id(self, runner):
        """Of two threads with one id the one that was there keeps it; the other gets a new one."""
        await run(runner, text="theirs", scope=VISITOR, thread="main")
        await run(runner, text="only theirs", scope=VISITOR, thread="other")
        await run(runner, text="mine", scope=USER, thread="main")

        moved = await runner.threads.move(VISITOR, USER)

        new = {each.before.thread_id: each.after.thread_id for each in moved}
        assert new["other"] == "other"
        assert new["main"] not in ("main", "other")
        assert await ids(runner, USER) == sorted(["main", *new.values()])
        assert text_of(await history(runner, "main", USER)) == "mine"
        assert text_of(await history(runner, new["main"], USER)) == "theirs"

    async def test_move__goes_on(self, runner):
        """A moved thread knows what was said on it, and a further run follows the old ones."""
        await run(runner, text="one", scope=VISITOR)
        await runner.threads.move(VISITOR, USER)

        await run(runner, text="two", scope=USER, run="r2")

        events = await history(runner, scope=USER)
        assert runs_in(events) == ["r1", "r2"]
        assert text_of(events) == "onetwo"

    async def test_move__old_name_is_free(self, runner):
        """Whoever has the old scope begins anew there."""
        await run(runner, text="one", scope=VISITOR)
        await runner.threads.move(VISITOR, USER)

        await run(runner, text="two", scope=VISITOR)

        assert text_of(await history(runner, scope=VISITOR)) == "two"
        assert text_of(await history(runner, scope=USER)) == "one"


class TestMemory:
    """What agents remember a thread by."""

    async def remembered(self, runner, **options):
        agent = Staged()
        agent.cue.set()
        await run(runner, agent, **options)
        return agent.contexts[0].thread_key

    async def test_move__memory_stays(self, runner):
        """Agents know a thread by the same key wherever it goes, whatever its id is there."""
        await run(runner, scope=USER, thread="main")
        before = await self.remembered(runner, scope=VISITOR, thread="main")

        (moved,) = await runner.threads.move(VISITOR, USER)

        name = moved.after.thread_id
        assert await self.remembered(runner, scope=USER, thread=name, run="r2") == before
        assert await self.remembered(runner, scope=USER, thread="main", run="r2") != before

    @on_databases
    async def test_move__memory_of_old_threads(self, runner):
        """A thread that is older than memory keys is known by what it was known by until now."""
        await run(runner, scope=VISITOR)
        threads = Thread.objects.using(runner.store.alias)
        await runner.write(lambda: threads.update(memory_key=""))
        before = await self.remembered(runner, scope=VISITOR, run="r2")

        await runner.threads.move(VISITOR, USER)

        assert await self.remembered(runner, scope=USER, run="r3") == before
        assert await self.remembered(runner, scope=VISITOR, run="r4") != before

    async def test_move__memory_of_the_old_name(self, runner):
        """Whoever begins a thread under the old name finds nothing of what agents remember."""
        before = await self.remembered(runner, scope=VISITOR)
        await runner.threads.move(VISITOR, USER)

        assert await self.remembered(runner, scope=VISITOR) != before

    async def test_delete__memory(self, runner):
        """A thread that is deleted and begun again is another one to agents, too."""
        before = await self.remembered(runner, scope=USER)
        await runner.threads.delete(ThreadRef(USER, "t1"))

        assert await self.remembered(runner, scope=USER) != before


class TestLiveRuns:
    async def test_move__run_goes_on(self, runner):
        """A run in the middle of its answer ends it on the thread of the new owner."""
        agent = Staged()
        reading = await begin(runner, agent)

        await runner.threads.move(VISITOR, USER)
        agent.cue.set()

        events = await within(reading)
        assert kinds(events)[-1] == "RUN_FINISHED"
        assert kinds(await history(runner, scope=USER))[-1] == "RUN_FINISHED"
        assert await ids(runner, USER) == ["t1"]
        assert await history(runner, scope=VISITOR) == []

    async def test_move__holds_the_thread(self, runner):
        """While it goes on the thread is the new owner's and busy; then it is free."""
        agent = Staged()
        reading = await begin(runner, agent)
        await runner.threads.move(VISITOR, USER)

        assert await runner.is_running(ThreadRef(USER, "t1"))
        assert not await runner.is_running(ThreadRef(VISITOR, "t1"))
        agent.cue.set()
        await within(reading)
        await free(runner, ThreadRef(USER, "t1"))
        await run(runner, Parrot(), "next", scope=USER, run="r2")

        assert runs_in(await history(runner, scope=USER)) == ["r1", "r2"]

    async def test_move__followed(self, runner):
        """The new owner follows the run from its start to its end."""
        agent = Staged()
        reading = await begin(runner, agent)
        await runner.threads.move(VISITOR, USER)

        following = asyncio.create_task(history(runner, scope=USER))
        await asyncio.sleep(0)
        agent.cue.set()

        assert await within(following) == await within(reading)

    async def test_move__stopped(self, runner):
        """It is stopped by its new owner, and by nobody under the old name."""
        agent = Staged()
        reading = await begin(runner, agent)
        await runner.threads.move(VISITOR, USER)

        assert not await runner.stop(ThreadRef(VISITOR, "t1"))
        assert not agent.cancelled.is_set()
        assert await runner.stop(ThreadRef(USER, "t1"), "r1")

        await within(agent.cancelled.wait())
        await within(reading)
        await free(runner, ThreadRef(USER, "t1"))
        assert text_of(await history(runner, scope=USER)) == "par"

    async def test_move__same_id(self, runner):
        """A run whose thread gets a new id ends there, and not on the thread that has the old."""
        await run(runner, text="mine", scope=USER, thread="main")
        agent = Staged()
        reading = await begin(runner, agent, thread="main")

        (moved,) = await runner.threads.move(VISITOR, USER)
        agent.cue.set()
        await within(reading)
        await free(runner, moved.after)

        assert text_of(await history(runner, "main", USER)) == "mine"
        assert text_of(await history(runner, moved.after.thread_id, USER)) == "par"

    async def test_move__old_name_while_it_runs(self, runner):
        """A run begun under the old name meanwhile is another one, on another thread."""
        agent, other = Staged(), Staged()
        reading = await begin(runner, agent)
        await runner.threads.move(VISITOR, USER)
        second = await begin(runner, other)

        other.cue.set()
        assert kinds(await within(second))[-1] == "RUN_FINISHED"
        assert await runner.is_running(ThreadRef(USER, "t1"))
        agent.cue.set()

        assert kinds(await within(reading))[-1] == "RUN_FINISHED"
        for scope in (USER, VISITOR):
            await free(runner, ThreadRef(scope, "t1"))
            assert text_of(await history(runner, scope=scope)) == "par"


@on_databases
class TestOwner:
    async def test_move__user(self, runner, store, django_db_blocker):
        """Threads of one user's scope go when the user goes; those of a team stay."""
        user = await runner.write(lambda: User.objects.using(store).create(username="ada"))
        try:
            await run(runner, scope=VISITOR)
            await run(runner, scope="anon:w")
            await runner.threads.move(VISITOR, f"user:{user.pk}", user=user)
            await runner.threads.move("anon:w", "team:1", user=user)

            assert {row.scope: row.user_id for row in await rows(runner)} == {
                f"user:{user.pk}": user.pk,
                "team:1": None,
            }
        finally:
            await runner.write(lambda: User.objects.using(store).all().delete())
            assert [row.scope for row in await rows(runner)] == ["team:1"]


def test_owner__keys_that_are_no_numbers(tmp_path):
    """Threads belong to their users in a project whose users have UUIDs, too."""
    command = [sys.executable, "-m", "tests.runners.uuid_users", str(tmp_path / "uuid.sqlite3")]

    result = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert result.returncode == 0, result.stderr


@on_databases
class TestElsewhere:
    """The process that runs the agent is not the one that moves its thread."""

    async def test_move__run_goes_on(self, runner, elsewhere):
        """The run notices nothing: everything it says before and after is stored."""
        agent = Staged()
        reading = await begin(runner, agent)

        await elsewhere.threads.move(VISITOR, USER)
        agent.cue.set()

        assert kinds(await within(reading))[-1] == "RUN_FINISHED"
        await free(elsewhere, ThreadRef(USER, "t1"))
        for each in (runner, elsewhere):
            assert text_of(await history(each, scope=USER)) == "par"
            assert await history(each, scope=VISITOR) == []
        (row,) = await rows(runner, Run)
        assert (row.status, row.position) == (Run.Status.FINISHED, 1)

    async def test_move__deltas_go_on(self, runner, elsewhere):
        """A run that talks all the while loses none of it, wherever its thread goes meanwhile."""

        async def chatty(context):
            for event in opening(context, "0 "):
                yield event
            for number in itertools.count(1):
                id = f"{context.run_id}-m1"
                yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": f"{number} "}
                if number >= 300 and moved_often.is_set():
                    return
                await asyncio.sleep(0.003)

        moved_often = asyncio.Event()
        reading = await start(runner, chatty, scope="anon:0")
        moves = 0
        while not reading.done():
            moves += len(await elsewhere.threads.move(f"anon:{moves}", f"anon:{moves + 1}"))
            if moves > 3:
                moved_often.set()
            await asyncio.sleep(0.02)

        words = text_of(reading.result()).split()
        assert len(words) > 300
        assert words == [str(number) for number in range(len(words))]
        await free(elsewhere, ThreadRef(f"anon:{moves}", "t1"))
        assert text_of(await history(elsewhere, scope=f"anon:{moves}")) == text_of(reading.result())
        print(f"moved {moves} times during one run")

    async def test_move__followed(self, runner, elsewhere):
        """The new owner follows it in every process."""
        agent = Staged()
        reading = await begin(runner, agent)
        await elsewhere.threads.move(VISITOR, USER)

        followers = [asyncio.create_task(history(r, scope=USER)) for r in (runner, elsewhere)]
        await asyncio.sleep(0.05)
        agent.cue.set()

        events = await within(reading)
        for follower in followers:
            assert await within(follower) == events

    @pytest.mark.parametrize("where", ["there", "here"])
    async def test_move__stopped(self, runner, elsewhere, where):
        """The new owner stops it from every process."""
        agent = Staged()
        reading = await begin(runner, agent)
        await elsewhere.threads.move(VISITOR, USER)

        stopping = runner if where == "there" else elsewhere
        assert await stopping.stop(ThreadRef(USER, "t1"))

        await within(agent.cancelled.wait())
        await within(reading)
        await free(elsewhere, ThreadRef(USER, "t1"))

    async def test_move__outlives_its_lease(self, make_runner):
        """The lease of a moved thread is renewed like any other."""
        runner, elsewhere = make_runner(lease_seconds=3), make_runner()
        agent = Staged()
        reading = await begin(runner, agent)
        await elsewhere.threads.move(VISITOR, USER)
        (row,) = await rows(elsewhere)

        async with asyncio.timeout(LONG):
            while time.time() * 1000 < row.lease_expires:  # noqa: ASYNC110 - as it was moved
                await asyncio.sleep(0.1)
        assert not await elsewhere.reap(thread("t1", USER).key)
        agent.cue.set()

        assert kinds(await within(reading))[-1] == "RUN_FINISHED"

    async def test_move__superseded(self, runner, elsewhere):
        """A later run of the new owner takes the thread, and the one before it ends."""
        from .asking import SUPERSEDE

        agent = Staged()
        reading = await begin(runner, agent)
        await elsewhere.threads.move(VISITOR, USER)

        await run(elsewhere, Parrot(), "later", scope=USER, run="r2", policy=SUPERSEDE)

        await within(agent.cancelled.wait())
        await within(reading)
        assert text_of(await history(elsewhere, scope=USER)) == "later"

    async def test_move__crashed_afterwards(self, make_runner):
        """If its process dies, the run is ended on the thread of its new owner."""
        from .test_ownership import crash

        doomed, survivor = make_runner(lease_seconds=LONG), make_runner()
        agent = Staged()
        reading = await begin(doomed, agent)
        await survivor.threads.move(VISITOR, USER)
        await crash(doomed)
        await within(reading)

        async with asyncio.timeout(5):
            while not await survivor.reap_all():  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.05)

        assert kinds(await history(survivor, scope=USER))[-1] == "RUN_ERROR"
        assert not await survivor.is_running(ThreadRef(USER, "t1"))


@on_databases
class TestAtOnce:
    async def test_move__two_users(self, make_runner):
        """Of two that want the same threads each thread goes to one, with all that is in it."""
        runners = [make_runner(), make_runner()]
        for number in range(20):
            await run(runners[0], text=f"{number}", scope=VISITOR, thread=f"t{number}")

        moved = await asyncio.gather(
            *(
                runner.threads.move(VISITOR, f"user:{number}")
                for number, runner in enumerate(runners)
            )
        )

        assert sorted(len(each) for each in moved) == [0, 20]
        found = [await ids(runners[0], f"user:{number}") for number in (0, 1)]
        assert sorted(itertools.chain(*found)) == sorted(f"t{number}" for number in range(20))
        assert await ids(runners[0], VISITOR) == []

    async def test_move__two_visitors(self, make_runner):
        """Two browsers that bring threads of one id to one user leave three threads."""
        runners = [make_runner() for _ in range(3)]
        await run(runners[0], text="mine", scope=USER, thread="main")
        for number in range(2):
            await run(runners[0], text=f"{number}", scope=f"anon:{number}", thread="main")

        await asyncio.gather(
            *(runners[number].threads.move(f"anon:{number}", USER) for number in range(2))
        )

        names = await ids(runners[2], USER)
        texts = [text_of(await history(runners[2], name, USER)) for name in names]
        assert sorted(texts) == ["0", "1", "mine"]
        assert text_of(await history(runners[2], "main", USER)) == "mine"

    async def test_move__runs_begin_meanwhile(self, make_runner):
        """Runs that begin in the middle of it are whole: where they began, or where it went."""
        runners = [make_runner(), make_runner(), make_runner()]
        count = 40

        async def begin_many(number):
            for turn in range(count):
                name = f"{number}-{turn}"
                await run(runners[number], text=name, scope=VISITOR, thread=name, run=name)

        async def move_often():
            moved = 0
            while not all(task.done() for task in running):
                moved += len(await runners[2].threads.move(VISITOR, USER))
                await asyncio.sleep(0)
            return moved + len(await runners[2].threads.move(VISITOR, USER))

        running = [asyncio.create_task(begin_many(number)) for number in range(2)]
        moved = await within(move_often(), LONG)
        await asyncio.gather(*running)

        names = await ids(runners[2], USER)
        assert names == sorted(f"{number}-{turn}" for number in range(2) for turn in range(count))
        assert moved == 2 * count
        assert {row.status for row in await rows(runners[2], Run)} == {Run.Status.FINISHED}
        assert await rows(runners[2], Thread, holder__gt="") == []
        for name in names:
            assert text_of(await history(runners[2], name, USER)) == name

    async def test_move__same_thread_begins_meanwhile(self, make_runner):
        """Whoever wins the race for an id, nothing of what was said is lost or mixed up."""
        runners = [make_runner(), make_runner()]
        for turn in range(10):
            name = f"t{turn}"
            await run(runners[0], text="visitor", scope=VISITOR, thread=name)

            moved, _ = await asyncio.gather(
                runners[1].threads.move(VISITOR, USER),
                run(runners[0], text="user", scope=USER, thread=name, run="r2"),
            )

            (each,) = moved
            if each.after.thread_id == name:
                assert text_of(await history(runners[0], name, USER)) == "visitoruser"
            else:
                assert text_of(await history(runners[0], name, USER)) == "user"
                there = await history(runners[0], each.after.thread_id, USER)
                assert text_of(there) == "visitor"
