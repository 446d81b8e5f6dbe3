"""What the `/threads` routes work on: the contract, over every store."""

from __future__ import annotations

import base64
import json
import time

import pytest

from copilotkit_django.events.snapshot import messages, state
from copilotkit_django.operations.call import Call
from copilotkit_django.operations.threads import list_threads
from copilotkit_django.runners import ThreadQuery
from copilotkit_django.runtime import Runtime
from tests.acting import Failing, Parrot, Staged, opening
from tests.talk import collect, kinds, user_message, within

from .asking import (
    follow,
    for_agent,
    freed,
    history,
    request_for,
    run,
    runs_in,
    said,
    start,
    stored,
    thread,
)
from .stores import DATABASES

on_databases = pytest.mark.parametrize("store", DATABASES, indirect=True)

SCOPE = "user:1"


def _packed(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


async def listed(runner, scope=SCOPE, **query):
    return [record.thread_id for record in await runner.threads.list(scope, ThreadQuery(**query))]


async def make(runner, *thread_ids, scope=SCOPE):
    for thread_id in thread_ids:
        await run(runner, thread=thread_id, scope=scope, run=f"r-{thread_id}")


def place(record):
    return record.last_run, record.thread_id


class TestList:
    async def test_list__nothing(self, runner):
        """Who has no threads is given none."""
        assert await listed(runner) == []

    async def test_list__order(self, runner):
        """The thread with the latest run comes first."""
        await make(runner, "t1", "t2", "t3")
        await run(runner, thread="t1", run="again")

        assert await listed(runner) == ["t1", "t3", "t2"]

    async def test_list__own_scope_only(self, runner):
        """Everybody sees their own threads."""
        await make(runner, "t1")
        await make(runner, "t2", scope="user:2")

        assert await listed(runner) == ["t1"]
        assert await listed(runner, "user:2") == ["t2"]
        assert await listed(runner, "USER:1") == []

    async def test_list__record(self, runner):
        """A record tells when a thread came to be, ran last and was changed."""
        await make(runner, "t1")
        (before,) = await runner.threads.list(SCOPE, ThreadQuery())
        await run(runner, thread="t1", run="again")
        (after,) = await runner.threads.list(SCOPE, ThreadQuery())

        assert before.agent_id == "default"
        assert before.name is None
        assert before.created <= before.last_run < after.last_run
        assert after.created == before.created
        assert after.updated == after.last_run

    async def test_list__of_an_agent(self, runner):
        """A list may be of the threads of one agent: that of the last run."""
        await collect(await runner.run(for_agent(request_for(Parrot(), thread="t1"), "a")))
        await collect(await runner.run(for_agent(request_for(Parrot(), thread="t2"), "b")))

        assert await listed(runner, agent_id="a") == ["t1"]
        assert await listed(runner, agent_id="b") == ["t2"]
        assert await listed(runner, agent_id="A") == []

    async def test_list__live_run(self, runner):
        """A thread whose first run is going on does not exist yet."""
        agent = Staged()
        live = await start(runner, agent)

        assert await listed(runner) == []
        assert await stored(runner) == []
        assert await runner.threads.update(thread(), name="x") is None
        agent.cue.set()
        await live
        assert await listed(runner) == ["t1"]

    async def test_list__failed_run(self, runner):
        """A run that failed makes a thread, one that never said anything does not."""
        await run(runner, Failing(2, RuntimeError("boom")), thread="t1")
        await run(runner, Failing(0, RuntimeError("boom")), thread="t2")

        assert await listed(runner) == ["t1"]

    async def test_list__pages(self, runner):
        """Pages put together are the whole list."""
        names = [f"t{number}" for number in range(10)]
        await make(runner, *names)
        pages, after = [], None
        while records := await runner.threads.list(SCOPE, ThreadQuery(limit=3, after=after)):
            pages.append([record.thread_id for record in records])
            after = place(records[-1])

        assert pages == [["t9", "t8", "t7"], ["t6", "t5", "t4"], ["t3", "t2", "t1"], ["t0"]]

    async def test_list__threads_that_come_and_go_between_pages(self, runner):
        """Neither a new thread, nor a deleted one, nor the place itself deleted moves the rest."""
        await make(runner, *(f"t{number}" for number in range(8)))
        first = await runner.threads.list(SCOPE, ThreadQuery(limit=3))
        await make(runner, "new")
        await runner.threads.delete(thread("t6"))
        await runner.threads.delete(thread("t5"))
        await runner.threads.delete(thread("t3"))

        second = await listed(runner, limit=3, after=place(first[-1]))

        assert [record.thread_id for record in first] == ["t7", "t6", "t5"]
        assert second == ["t4", "t2", "t1"]

    async def test_list__ran_in_the_same_moment(self, runner, monkeypatch):
        """Threads whose runs were stored together are on one page each all the same."""
        names = [f"t{number}" for number in range(20)]
        agents = [Staged() for _ in names]
        lives = [
            await start(runner, agent, thread=name)
            for name, agent in zip(names, agents, strict=True)
        ]
        for agent in agents:
            agent.cue.set()
        for live in lives:
            await live

        seen, after = [], None
        while records := await runner.threads.list(SCOPE, ThreadQuery(limit=3, after=after)):
            seen += [record.thread_id for record in records]
            after = place(records[-1])

        assert sorted(seen) == sorted(names)


class TestUpdate:
    async def test_update__unknown_thread(self, runner):
        """What does not exist cannot be changed."""
        assert await runner.threads.update(thread(), name="x") is None
        assert await runner.threads.update(thread(), archived=True) is None

    async def test_update__name(self, runner):
        """A renamed thread keeps its place in the list."""
        await make(runner, "t1", "t2")

        record = await runner.threads.update(thread("t1"), name="Öl & 🦜")

        assert record.name == "Öl & 🦜"
        assert record.updated > record.last_run
        assert [each.name for each in await runner.threads.list(SCOPE, ThreadQuery())] == [
            None,
            "Öl & 🦜",
        ]

    async def test_update__archived(self, runner):
        """An archived thread is left out of lists until it is restored; it can be read and run."""
        await make(runner, "t1", "t2")

        record = await runner.threads.update(thread("t1"), archived=True)

        assert record.archived
        assert await listed(runner) == ["t2"]
        assert await listed(runner, include_archived=True) == ["t2", "t1"]
        assert runs_in(await stored(runner, "t1")) == ["r-t1"]
        await run(runner, thread="t1", run="again")
        assert await listed(runner) == ["t2"]
        assert not (await runner.threads.update(thread("t1"), archived=False)).archived
        assert await listed(runner) == ["t1", "t2"]

    async def test_update__both(self, runner):
        """What is not named stays as it is."""
        await make(runner, "t1")
        await runner.threads.update(thread(), name="name", archived=True)

        record = await runner.threads.update(thread(), archived=False)

        assert (record.name, record.archived) == ("name", False)
        record = await runner.threads.update(thread(), name="")
        assert not record.name

    async def test_update__other_scope(self, runner):
        """Nobody changes the thread of another scope."""
        await make(runner, "t1")

        assert await runner.threads.update(thread(scope="user:2"), name="x") is None
        (record,) = await runner.threads.list(SCOPE, ThreadQuery())
        assert record.name is None

    async def test_update__while_live(self, runner):
        """A thread can be renamed while a run holds it; the end of the run keeps the name."""
        await make(runner, "t1")
        agent = Staged()
        live = await start(runner, agent, run="r2")
        assert (await runner.threads.update(thread(), name="name")).name == "name"
        agent.cue.set()
        await live

        (record,) = await runner.threads.list(SCOPE, ThreadQuery())
        assert record.name == "name"


class TestDelete:
    async def test_delete__unknown_thread(self, runner):
        """What does not exist cannot be deleted."""
        assert await runner.threads.delete(thread()) is False

    async def test_delete__thread(self, runner):
        """A deleted thread is forgotten, and its messages are new again."""
        message = user_message("one", "u1")
        await run(runner, run="r1", messages=[message])
        await make(runner, "t2")

        assert await runner.threads.delete(thread()) is True

        assert await listed(runner) == ["t2"]
        assert await history(runner) == await stored(runner) == []
        assert await runner.threads.delete(thread()) is False
        assert said(await run(runner, run="r1", messages=[message])) == [["one"]]

    async def test_delete__other_scope(self, runner):
        """Nobody deletes the thread of another scope."""
        await make(runner, "t1")

        assert await runner.threads.delete(thread(scope="user:2")) is False
        assert await listed(runner) == ["t1"]

    async def test_delete__live_run(self, runner):
        """Deleting a thread stops what runs on it; nothing of it comes back."""
        await make(runner, "t1")
        agent = Staged()
        live = await start(runner, agent, run="r2")
        await within(agent.waiting.wait())

        assert await runner.threads.delete(thread()) is True

        assert kinds(await live)[-1] in ("RUN_FINISHED", "RUN_ERROR")
        await within(agent.cancelled.wait())
        assert await history(runner) == []
        assert await listed(runner) == []
        await freed(runner)

    @on_databases
    async def test_delete__live_run_elsewhere(self, runner, elsewhere):
        """The run of another process is stopped, its readers everywhere get an ending."""
        agent = Staged()
        live = await start(runner, agent)
        follower = await follow(elsewhere)

        assert await elsewhere.threads.delete(thread()) is True

        await within(agent.cancelled.wait())
        assert kinds(await live)[-1] in ("RUN_FINISHED", "RUN_ERROR")
        assert kinds(await within(follower))[-1] in ("RUN_FINISHED", "RUN_ERROR")
        assert await history(runner) == []

    @pytest.mark.parametrize("where", ["runner", "elsewhere"])
    async def test_delete__live_run_and_begin_again(self, store, make_runner, where):
        """What is left of a deleted thread's run does no harm to a new thread of the same id."""
        runner = make_runner()
        other = make_runner() if where == "elsewhere" and store != "memory" else runner
        agent, second = Staged(), Staged()
        live = await start(runner, agent, run="r1")
        await within(agent.waiting.wait())
        await other.threads.delete(thread())
        again = await start(other, second, run="r2")
        agent.cue.set()
        await within(live)

        assert await other.is_running(thread())
        second.cue.set()
        await again
        assert runs_in(await history(other)) == ["r2"]

    async def test_clear__own_scope_only(self, runner):
        """Clearing forgets all threads of a scope, and nothing of anybody else's."""
        await make(runner, "t1", "t2")
        await make(runner, "t1", "t2", scope="user:2")
        agent = Staged()
        live = await start(runner, agent, thread="t3")
        await within(agent.waiting.wait())

        await runner.threads.clear(SCOPE)

        assert await listed(runner) == []
        assert await history(runner, "t3") == []
        await within(agent.cancelled.wait())
        assert kinds(await live)[-1] in ("RUN_FINISHED", "RUN_ERROR")
        assert await listed(runner, "user:2") == ["t2", "t1"]

    @on_databases
    async def test_clear__more_threads_than_a_batch(self, runner, monkeypatch):
        """However many they are."""
        monkeypatch.setattr("copilotkit_django.runners.database_threads.CLEAR_BATCH", 2)
        await make(runner, "t1", "t2", "t3", "t4", "t5")

        await runner.threads.clear(SCOPE)

        assert await listed(runner) == []


class TestAsked:
    """What a request may ask for, and no store has ever heard of."""

    @pytest.mark.parametrize(
        "cursor",
        [
            "",
            "nonsense",
            *map(_packed, [[1e300, "a"], [1e15, "a"], [-1e12, "a"], [1, "\0"], [1], {}, 7]),
        ],
    )
    async def test_list__cursor_of_nobody(self, runner, cursor):
        """A cursor that is none of ours asks for everything."""
        await make(runner, "t1", "t2")

        answer = await list_threads(_call(runner), {"cursor": cursor, "limit": "1"})

        assert len(answer["threads"]) == 2

    @pytest.mark.parametrize("agent_id", ["\0", "\ud83d", "x" * 10_000])
    async def test_list__agent_of_nobody(self, runner, agent_id):
        """An agent id that cannot be stored is that of no thread."""
        await make(runner, "t1")

        assert (await list_threads(_call(runner), {"agentId": agent_id}))["threads"] == []


def _call(runner):
    return Call(Runtime(agents={"default": Parrot()}, runner=runner).endpoint, SCOPE)


class TestEvents:
    async def test_events__finished_runs(self, runner):
        """The stored events are what connect replays, without those of a live run."""
        await run(runner, run="r1")
        before = await history(runner)
        agent = Staged()
        live = await start(runner, agent, run="r2")

        assert await stored(runner) == before
        agent.cue.set()
        await live
        assert runs_in(await stored(runner)) == ["r1", "r2"]

    async def test_events__other_scope(self, runner):
        """Nobody reads the thread of another scope."""
        await run(runner)

        assert await stored(runner, scope="user:2") == []

    async def test_events__messages(self, runner):
        """They amount to the messages of both sides."""
        await run(runner, text="one", run="r1")
        await run(runner, text="two", run="r2")

        assert [(m["role"], m["content"]) for m in messages(await stored(runner))] == [
            ("user", "one"),
            ("assistant", "one"),
            ("user", "two"),
            ("assistant", "two"),
        ]

    async def test_events__state(self, runner):
        """And to the last state, folded from snapshots and patches over runs."""

        async def agent(context):
            for event in opening(context):
                yield event
            yield {"type": "STATE_SNAPSHOT", "snapshot": {"a": 1, "none": None}}
            yield {
                "type": "STATE_DELTA",
                "delta": [{"op": "replace", "path": "/a", "value": 2}],
            }
            yield {"type": "TEXT_MESSAGE_END", "messageId": f"{context.run_id}-m1"}
            yield context.finished()

        await run(runner, agent, run="r1")
        await run(runner, run="r2")

        assert state(await stored(runner)) == {"a": 2, "none": None}


class TestChanges:
    """What those are told who watch scopes."""

    @on_databases
    @pytest.mark.parametrize("count", [1, 3, 9])
    async def test_changes__many_in_another_scope(self, runner, monkeypatch, count):
        """However much happens in one scope, what happened in others is told."""
        monkeypatch.setattr("copilotkit_django.runners.database_threads.MAX_CHANGES", 3)
        beginning = time.time() - 1
        await make(runner, "changed", "deleted", scope="user:2")
        await runner.threads.delete(thread("deleted", "user:2"))
        busy = [f"t{number}" for number in range(count)]
        await make(runner, *busy)
        await make(runner, *(f"gone{number}" for number in range(count)))
        for number in range(count):
            await runner.threads.delete(thread(f"gone{number}"))

        changes = await runner.threads.changes({SCOPE: beginning, "user:2": beginning, "nobody": 0})

        told = [(each.scope, each.record.thread_id) for each in changes.threads]
        gone = [(each.scope, each.thread_id) for each in changes.gone]
        assert ("user:2", "changed") in told
        assert ("user:2", "deleted") in gone
        # Of one scope the latest.
        assert sorted(id for scope, id in told if scope == SCOPE) == sorted(busy[-3:])
        assert len([scope for scope, _ in gone if scope == SCOPE]) == min(count, 3)
