"""Starting runs: the contract, over every store."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from copilotkit_django.exceptions import ThreadBusy
from copilotkit_django.runners import RunPolicy, ThreadQuery, database, memory
from tests.acting import Failing, Parrot, Staged, delta, opening
from tests.talk import collect, kinds, text_of, user_message, within

from .asking import (
    SUPERSEDE,
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
    until_said,
)
from .stores import DATABASES

on_databases = pytest.mark.parametrize("store", DATABASES, indirect=True)


class TestRun:
    async def test_run__whole(self, runner):
        """A run is its agent's events, with what the user said in the first."""
        events = await run(runner, text="hello")

        assert kinds(events) == [
            "RUN_STARTED",
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "RUN_FINISHED",
        ]
        assert said(events) == [["hello"]]

    async def test_run__one_after_the_other(self, runner):
        """Whoever has read the end of a run finds the thread free."""
        for number in range(20):
            reader = await runner.run(request_for(Parrot(), run=f"r{number}"))
            async for batch in reader:
                if b"RUN_FINISHED" in batch[-1]:
                    break

        assert not await runner.is_running(thread())
        assert runs_in(await history(runner)) == [f"r{number}" for number in range(20)]

    async def test_run__nobody_reads(self, runner):
        """A run goes on without readers, and is there for the next one."""
        agent = Staged()
        reader = await runner.run(request_for(agent))
        await within(anext(reader))
        await reader.aclose()
        agent.cue.set()
        await freed(runner)

        assert not agent.cancelled.is_set()
        assert kinds(await history(runner))[-1] == "RUN_FINISHED"

    async def test_run__failure(self, runner):
        """The partial answer of a failed run stays in the history, closed."""
        events = await run(runner, Failing(3, RuntimeError("boom")))

        assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
        assert text_of(await history(runner)) == "par"
        assert kinds(await history(runner))[-1] == "RUN_ERROR"
        assert not await runner.is_running(thread())

    async def test_run__silent_failure(self, runner):
        """A run that failed before its agent said anything leaves nothing behind."""
        events = await run(runner, Failing(0, RuntimeError("boom")))

        assert kinds(events) == ["RUN_ERROR"]
        assert await history(runner) == []
        assert not await runner.is_running(thread())
        assert await runner.threads.delete(thread()) is False

    async def test_run__silent_failure_on_a_known_thread(self, runner):
        """What the thread had before stays as it was, and its next run says what is new."""
        await run(runner, run="r1", messages=[user_message("one", "u1")])
        before = await history(runner)

        await run(runner, Failing(0, RuntimeError("boom")), run="r2")

        assert await history(runner) == before
        again = await run(
            runner, run="r3", messages=[user_message("one", "u1"), user_message("two", "u2")]
        )
        assert said(again) == [["two"]]

    async def test_run__many_at_once(self, runner):
        """Runs on different threads do not get in each other's way."""
        results = await asyncio.gather(
            *(run(runner, text=f"text {n}", thread=f"t{n}", run=f"r{n}") for n in range(100))
        )

        assert [text_of(events) for events in results] == [f"text {n}" for n in range(100)]
        for n in (0, 50, 99):
            assert text_of(await history(runner, f"t{n}")) == f"text {n}"


class TestBusyThread:
    async def test_run__busy(self, runner):
        """A second run on a thread is refused while the first one holds it."""
        agent = Staged()
        first = await start(runner, agent, run="r1")

        with pytest.raises(ThreadBusy):
            await runner.run(request_for(Parrot(), run="r2"))

        assert await runner.is_running(thread())
        agent.cue.set()
        assert runs_in(await first) == ["r1"]
        assert runs_in(await run(runner, run="r2")) == ["r2"]

    @on_databases
    async def test_run__busy_elsewhere(self, runner, elsewhere):
        """It makes no difference which process holds the thread."""
        agent = Staged()
        first = await start(runner, agent, run="r1")

        with pytest.raises(ThreadBusy):
            await elsewhere.run(request_for(Parrot(), run="r2"))

        assert await elsewhere.is_running(thread())
        agent.cue.set()
        await first
        assert not await elsewhere.is_running(thread())
        assert runs_in(await run(elsewhere, run="r2")) == ["r2"]

    async def test_run__busy_while_stopping(self, runner):
        """A run that was asked to stop holds its thread until it is over."""
        last_word = asyncio.Event()

        async def agent(context):
            for event in opening(context):
                yield event
            while not last_word.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await last_word.wait()
            yield delta(context, "ting")

        patient = RunPolicy(stop_grace=5, idle=None)
        first = await start(runner, agent, run="r1", policy=patient)
        await until_said(runner)
        assert await runner.stop(thread())

        with pytest.raises(ThreadBusy):
            await runner.run(request_for(Parrot(), run="r2"))

        last_word.set()
        assert text_of(await first) == "parting"
        assert await run(runner, run="r2")

    async def test_run__many_claims_at_once(self, make_runner, store):
        """Of any number of claims at the same moment, in any process, one wins."""
        first = make_runner()
        runners = [first] if store == "memory" else [first, make_runner(), make_runner()]
        agent = Staged()

        results = await asyncio.gather(
            *(runners[n % len(runners)].run(request_for(agent, run=f"r{n}")) for n in range(30)),
            return_exceptions=True,
        )

        readers = [result for result in results if not isinstance(result, BaseException)]
        assert len(readers) == 1
        assert {type(result) for result in results if result is not readers[0]} == {ThreadBusy}
        await within(agent.waiting.wait())
        assert len(agent.contexts) == 1
        agent.cue.set()
        await collect(readers[0])

    async def test_run__supersede(self, runner):
        """Superseding ends the run before it, of which nothing is kept."""
        agent = Staged()
        first = await start(runner, agent, run="r1")
        await within(agent.waiting.wait())

        second = await run(runner, run="r2", policy=SUPERSEDE)

        assert kinds(await within(first))[-1] == "RUN_FINISHED"
        assert agent.cancelled.is_set()
        assert kinds(second)[-1] == "RUN_FINISHED"
        assert runs_in(await history(runner)) == ["r2"]

    @on_databases
    async def test_run__supersede_noticed_late(self, runner, monkeypatch):
        """A run that finds its thread taken before the new one is known here ends the same way."""
        agent = Staged()
        first = await start(runner, agent, run="r1")
        await within(agent.waiting.wait())
        do = runner.writer.do

        async def do_and_watch(write, **options):
            answer = await do(write, **options)
            await runner.upkeep._watch()
            return answer

        monkeypatch.setattr(runner.writer, "do", do_and_watch)
        second = await run(runner, run="r2", policy=SUPERSEDE)

        assert kinds(await within(first))[-1] == "RUN_FINISHED"
        assert kinds(second)[-1] == "RUN_FINISHED"
        assert runs_in(await history(runner)) == ["r2"]

    @on_databases
    async def test_run__supersede_from_elsewhere(self, runner, elsewhere):
        """A run superseded by another process is told, and all its readers get an ending."""
        agent = Staged()
        first = await start(runner, agent, run="r1")
        await within(agent.waiting.wait())
        follower = await follow(elsewhere)

        second = await run(elsewhere, run="r2", policy=SUPERSEDE)

        assert (await within(first))[-1]["code"] == "THREAD_TAKEN"
        assert kinds(await within(follower))[-1] == "RUN_ERROR"
        await within(agent.cancelled.wait())
        assert kinds(second)[-1] == "RUN_FINISHED"
        for each in (runner, elsewhere):
            assert runs_in(await history(each)) == ["r2"]
            assert not await each.is_running(thread())

    async def test_run__superseded_run_that_goes_on(self, runner):
        """What a superseded run still says reaches neither the new run nor the history."""
        hold = asyncio.Event()

        async def agent(context):
            for event in opening(context):
                yield event
            while not hold.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await hold.wait()
            yield delta(context, "late")

        first = await start(runner, agent, run="r1")
        second = await run(runner, run="r2", policy=SUPERSEDE)
        await within(first)
        hold.set()
        third = await run(runner, run="r3")

        assert "late" not in str([second, third, await history(runner)])
        assert runs_in(await history(runner)) == ["r2", "r3"]

    async def test_run__messages_of_a_superseded_run(self, runner):
        """What the user said in a run that was superseded is new to the one after it."""
        agent = Staged()
        first = await start(runner, agent, run="r1", messages=[user_message("one", "u1")])
        await within(agent.waiting.wait())

        messages = [user_message("one", "u1"), user_message("two", "u2")]
        second = await run(runner, run="r2", messages=messages, policy=SUPERSEDE)
        await within(first)

        assert said(second) == [["one", "two"]]


class TestRequestSentTwice:
    async def test_run__while_live(self, runner):
        """The same request again joins the run it has started."""
        agent = Staged()
        first, second = await start(runner, agent), await start(runner, agent)
        agent.cue.set()

        assert await first == await second
        assert len(agent.contexts) == 1

    @on_databases
    async def test_run__while_live_elsewhere(self, runner, elsewhere):
        """So it does when a load balancer sends it to another process."""
        agent = Staged()
        first, second = await start(runner, agent), await start(elsewhere, agent)
        await within(agent.waiting.wait())
        agent.cue.set()

        assert await first == await second
        assert len(agent.contexts) == 1

    async def test_run__at_the_same_time(self, runner):
        """Sent twice at once, it is one run that both are given."""
        agent = Staged()
        readers = await asyncio.gather(
            runner.run(request_for(agent)), runner.run(request_for(agent))
        )
        agent.cue.set()

        first, second = [await collect(reader) for reader in readers]

        assert first == second
        assert len(agent.contexts) == 1

    async def test_run__after_its_end(self, runner):
        """The same request again, shortly after, is given the run as it was."""
        first = await run(runner)
        second = await run(runner, Failing(0, RuntimeError("must not run")))

        assert kinds(second) == kinds(first)
        assert text_of(second) == text_of(first)
        assert runs_in(await history(runner)) == ["r1"]

    async def test_run__long_after_its_end(self, runner, monkeypatch):
        """Much later it is a run of its own."""
        await run(runner)
        for module in (memory, database):
            monkeypatch.setattr(module, "RESEND_SECONDS", -1)
        await run(runner)

        assert runs_in(await history(runner)) == ["r1", "r1"]

    async def test_run__other_body(self, runner):
        """The answer to an interrupt has the run id of the interrupted run, and is a new run."""
        await run(runner)
        resumed = await run(runner, resume=[{"interruptId": "i", "status": "resolved"}])

        assert runs_in(await history(runner)) == ["r1", "r1"]
        assert kinds(resumed)[-1] == "RUN_FINISHED"

    async def test_run__other_body_while_live(self, runner):
        """While the thread is held such a run is refused like any other."""
        agent = Staged()
        first = await start(runner, agent)

        with pytest.raises(ThreadBusy):
            await runner.run(request_for(Parrot(), "other text"))

        agent.cue.set()
        await first

    async def test_run__without_a_digest(self, runner):
        """A run whose request has no body cannot be told from another one, so it is another."""

        def request(agent):
            made = request_for(agent)
            made.digest = b""
            return made

        agent = Staged()
        first = asyncio.create_task(collect(await runner.run(request(agent))))
        with pytest.raises(ThreadBusy):
            await runner.run(request(Parrot()))
        agent.cue.set()
        await first
        await collect(await runner.run(request(Parrot())))

        assert runs_in(await history(runner)) == ["r1", "r1"]

    async def test_run__in_another_scope(self, runner):
        """Somebody else's request is never the same request."""
        await run(runner, scope="user:1")
        events = await run(runner, Failing(2, RuntimeError("boom")), scope="user:2")

        assert kinds(events)[-1] == "RUN_ERROR"

    async def test_run__failed_silently_before(self, runner):
        """A run that left nothing behind can be asked for again with the same request."""
        await run(runner, Failing(0, RuntimeError("boom")))

        assert kinds(await run(runner))[-1] == "RUN_FINISHED"


class TestEcho:
    async def test_run__known_messages(self, runner):
        """The echo of a run holds only messages that are new to the thread."""
        one, two = user_message("one", "u1"), user_message("two", "u2")
        first = await run(runner, run="r1", messages=[one])
        (answer_id,) = {event["messageId"] for event in first if "delta" in event}
        answer = {"id": answer_id, "role": "assistant", "content": "one"}

        second = await run(runner, run="r2", messages=[one, answer, two])
        third = await run(runner, run="r3", messages=[one, answer, two])

        assert said([*first, *second, *third]) == [["one"], ["two"], []]
        assert said(await history(runner)) == [["one"], ["two"], []]

    async def test_run__edited_history(self, runner):
        """What a client leaves out or changes does not change what is stored."""
        await run(runner, run="r1", messages=[user_message("one", "u1")])

        await run(runner, run="r2", messages=[user_message("never said", "u1")])

        assert said(await history(runner)) == [["one"], []]

    async def test_run__payloads(self, runner):
        """Tools, context, state and properties are echoed to readers, and not stored."""
        given = {
            "tools": [{"name": "t", "description": "d", "parameters": {}}],
            "context": [{"description": "d", "value": "v"}],
            "state": {"a": 1},
            "forwardedProps": {"p": 1},
        }
        live = await run(runner, **given)
        kept = await history(runner)

        assert {key: live[0]["input"][key] for key in given} == given
        assert [kept[0]["input"][key] for key in given] == [[], [], {}, {}]


class TestScopes:
    async def test_run__same_id_in_two_scopes(self, runner):
        """Two scopes may use one thread id for two threads, at the same time."""
        agents = [Staged(), Staged()]
        runs = [
            await start(runner, agent, scope=f"user:{number}", run=f"r{number}")
            for number, agent in enumerate(agents)
        ]
        for agent in agents:
            agent.cue.set()
        for each in runs:
            await each

        assert runs_in(await history(runner, scope="user:0")) == ["r0"]
        assert runs_in(await history(runner, scope="user:1")) == ["r1"]
        assert await history(runner, scope="user:2") == []

    @pytest.mark.parametrize("other", ["USER:A", "user:a ", "user:á", "\uff55ser:a"])
    async def test_run__scopes_that_look_alike(self, runner, other):
        """Scopes that a database would find equal are two owners."""
        await run(runner, scope="user:a", run="r1")
        await run(runner, scope=other, run="r2")

        assert runs_in(await history(runner, scope="user:a")) == ["r1"]
        assert runs_in(await history(runner, scope=other)) == ["r2"]
        await runner.threads.clear(other)
        assert runs_in(await history(runner, scope="user:a")) == ["r1"]

    async def test_run__ids_that_look_alike(self, runner):
        """So are thread ids."""
        for number, thread_id in enumerate(["a", "A", "a ", "á"]):
            await run(runner, thread=thread_id, run=f"r{number}")

        for number, thread_id in enumerate(["a", "A", "a ", "á"]):
            assert runs_in(await stored(runner, thread_id)) == [f"r{number}"]


async def test_run__other_agent(runner):
    """Two agents may take turns on one thread, and the last one gives the thread its name."""
    await collect(await runner.run(for_agent(request_for(Parrot(), run="r1"), "one")))
    await collect(await runner.run(for_agent(request_for(Parrot(), run="r2"), "two")))

    (record,) = await runner.threads.list("user:1", ThreadQuery())

    assert runs_in(await history(runner)) == ["r1", "r2"]
    assert record.agent_id == "two"
