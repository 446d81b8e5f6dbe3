"""The runner that keeps everything in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from copilotkit_django.exceptions import ThreadBusy
from copilotkit_django.runners import InMemoryRunner, RunPolicy, ThreadRef, memory
from tests.acting import Failing, Parrot, Staged
from tests.talk import collect, kinds, text_of, user_message, within

from .requests import GRACE, request_for, turns

SUPERSEDE = RunPolicy(supersede=True, stop_grace=GRACE, idle=None)


@pytest.fixture
async def runner():
    runner = InMemoryRunner()
    yield runner
    await runner.drain()


def thread(thread_id="t1", scope="user:1"):
    return ThreadRef(scope, thread_id)


async def run(runner, agent=None, text="hi", **options):
    """A whole run, and everything it sent."""
    return await collect(await runner.run(request_for(agent or Parrot(), text, **options)))


async def history(runner, thread_id="t1", scope="user:1", **options):
    return await collect(await runner.connect(thread(thread_id, scope), **options))


async def freed(runner):
    """Return once no run holds the thread."""
    while await runner.is_running(thread()):  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0)


def runs_in(events):
    return [event["runId"] for event in events if event["type"] == "RUN_STARTED"]


async def known(runner, *thread_ids, scope="user:1"):
    """Which of these threads the runner still has a history of."""
    return [each for each in thread_ids if await history(runner, each, scope)]


class TestHistory:
    async def test_connect__unknown_thread(self, runner):
        """A thread nobody has heard of is an empty history, and asking does not make it one."""
        assert await history(runner) == []
        assert not await runner.is_running(thread())

    async def test_connect__finished_runs(self, runner):
        """The history is every run in order, with what the user said."""
        await run(runner, text="one", run="r1")
        await run(runner, text="two", run="r2")

        events = await history(runner)

        assert runs_in(events) == ["r1", "r2"]
        assert text_of(events) == "onetwo"
        echoes = [event["input"] for event in events if event["type"] == "RUN_STARTED"]
        assert [echo["messages"][0]["content"] for echo in echoes] == ["one", "two"]

    async def test_connect__live_run(self, runner):
        """Connecting to a live run gives its beginning and follows it to its end, as its own
        reader does."""
        agent = Staged()
        first = asyncio.create_task(run(runner, agent))
        await within(agent.waiting.wait())
        second = asyncio.create_task(history(runner))
        third = asyncio.create_task(history(runner))
        await turns()
        agent.cue.set()

        results = await within(asyncio.gather(first, second, third))

        assert results[0] == results[1] == results[2]
        assert kinds(results[0])[-1] == "RUN_FINISHED"

    async def test_connect__ends_with_the_run_it_met(self, runner):
        """A reader never goes on to a run that began after it connected."""
        agent = Staged()
        first = asyncio.create_task(run(runner, agent, run="r1"))
        await within(agent.waiting.wait())
        reader = await runner.connect(thread())
        agent.cue.set()
        await within(first)
        await run(runner, run="r2")

        assert runs_in(await collect(reader)) == ["r1"]

    async def test_run__known_messages(self, runner):
        """The echo of a run holds only messages that are new to the thread."""
        one, two = user_message("one", "u1"), user_message("two", "u2")
        await run(runner, run="r1", messages=[one])
        (assistant,) = {event["messageId"] for event in await history(runner) if "delta" in event}
        answer = {"id": assistant, "role": "assistant", "content": "one"}

        events = await run(runner, run="r2", messages=[one, answer, two])

        assert events[0]["input"]["messages"] == [two]

    async def test_run__nobody_reads(self, runner):
        """A run goes on without readers, and is there for the next one."""
        agent = Staged()
        await runner.run(request_for(agent))
        await within(agent.waiting.wait())
        agent.cue.set()
        await within(freed(runner))

        assert kinds(await history(runner))[-1] == "RUN_FINISHED"

    async def test_run__reader_leaves(self, runner):
        """A reader that goes away in the middle does not end the run."""
        agent = Staged()
        reader = await runner.run(request_for(agent))
        await within(anext(reader))
        await reader.aclose()
        agent.cue.set()

        assert kinds(await history(runner))[-1] == "RUN_FINISHED"
        assert not agent.cancelled.is_set()

    async def test_run__free_before_the_end_is_known(self, runner):
        """Whoever reads the end of a run finds the thread free: follow-ups come at once."""
        reader = await runner.run(request_for(Parrot()))
        async for batch in reader:
            if b"RUN_FINISHED" in batch[-1]:
                break

        assert not await runner.is_running(thread())
        await run(runner, run="r2")

    async def test_run__silent_failure(self, runner):
        """A run that failed before its agent said anything leaves no trace."""
        events = await run(runner, Failing(0, RuntimeError("boom")))

        assert kinds(events) == ["RUN_ERROR"]
        assert await history(runner) == []
        assert not await runner.is_running(thread())

    async def test_run__silent_failure_on_a_known_thread(self, runner):
        """What the thread had before stays as it was."""
        await run(runner, run="r1")
        before = await history(runner)

        await run(runner, Failing(0, RuntimeError("boom")), run="r2")

        assert await history(runner) == before

    async def test_run__failure(self, runner):
        """The partial answer of a failed run stays in the history, closed."""
        await run(runner, Failing(3, RuntimeError("boom")))

        events = await history(runner)

        assert text_of(events) == "par"
        assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]

    async def test_connect__run_of_a_modern_client(self, runner):
        """A client that declared no version gets a run of one that did in the form it knows."""

        async def agent(context):
            yield context.started()
            yield context.finished(outcome={"type": "cancelled"})

        await run(runner, agent, protocolVersion="1.0")

        older, newer = await history(runner), await history(runner, modern=True)

        assert "outcome" not in older[-1]
        assert newer[-1]["outcome"] == {"type": "cancelled"}

    async def test_connect__live_run_of_a_modern_client(self, runner):
        """The same holds while that run is going on."""
        cue = asyncio.Event()

        async def agent(context):
            yield context.started()
            await cue.wait()
            yield context.finished(outcome={"type": "cancelled"})

        await runner.run(request_for(agent, protocolVersion="1.0"))
        older = asyncio.create_task(history(runner))
        newer = asyncio.create_task(history(runner, modern=True))
        await turns()
        cue.set()

        assert "outcome" not in (await within(older))[-1]
        assert (await within(newer))[-1]["outcome"] == {"type": "cancelled"}


class TestBusyThread:
    async def test_run__busy(self, runner):
        """A second run on a thread is refused while the first one holds it."""
        agent = Staged()
        await runner.run(request_for(agent, run="r1"))

        with pytest.raises(ThreadBusy):
            await runner.run(request_for(Parrot(), run="r2"))

        assert await runner.is_running(thread())

    async def test_run__busy_while_stopping(self, runner):
        """A run that was asked to stop holds its thread until it is over."""
        agent = Staged()
        reader = await runner.run(request_for(agent, run="r1"))
        await within(agent.waiting.wait())
        await runner.stop(thread())

        with pytest.raises(ThreadBusy):
            await runner.run(request_for(Parrot(), run="r2"))

        await collect(reader)
        assert await run(runner, run="r2")

    async def test_run__two_at_once(self, runner):
        """Of two claims at the same moment one wins."""
        agent = Staged()

        results = await asyncio.gather(
            runner.run(request_for(agent, run="r1")),
            runner.run(request_for(agent, run="r2")),
            return_exceptions=True,
        )

        assert [type(result) is ThreadBusy for result in results].count(True) == 1

    async def test_run__supersede(self, runner):
        """Superseding ends the run before it, of which nothing is kept."""
        agent = Staged()
        first = asyncio.create_task(run(runner, agent, run="r1"))
        await within(agent.waiting.wait())

        second = await run(runner, run="r2", policy=SUPERSEDE)

        assert kinds(await within(first))[-1] == "RUN_FINISHED"
        assert agent.cancelled.is_set()
        assert kinds(second)[-1] == "RUN_FINISHED"
        assert runs_in(await history(runner)) == ["r2"]

    async def test_run__superseded_run_that_goes_on(self, runner):
        """What a superseded run still says reaches neither the new run nor the history."""
        hold = asyncio.Event()

        async def agent(context):
            yield context.started()
            while not hold.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await hold.wait()
            yield {"type": "CUSTOM", "name": "late", "value": 1}

        first = await runner.run(request_for(agent, run="r1", policy=SUPERSEDE))
        await within(anext(first))
        second = await run(runner, run="r2", policy=SUPERSEDE)
        await collect(first)
        hold.set()

        assert "late" not in str(second)
        assert runs_in(await history(runner)) == ["r2"]


class TestRequestSentTwice:
    async def test_run__while_live(self, runner):
        """The same request again joins the run it has started."""
        agent = Staged()
        request = request_for(agent)
        readers = [await runner.run(request), await runner.run(request_for(agent))]
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
        monkeypatch.setattr(memory, "RESEND_SECONDS", -1)
        await run(runner)

        assert runs_in(await history(runner)) == ["r1", "r1"]

    async def test_run__same_run_id_other_body(self, runner):
        """The answer to an interrupt has the run id of the interrupted run, and is a new run."""
        await run(runner)
        await run(runner, resume=[{"interruptId": "i", "status": "resolved"}])

        assert runs_in(await history(runner)) == ["r1", "r1"]

    async def test_run__same_run_id_other_body_while_live(self, runner):
        """While the thread is held such a run is refused like any other."""
        await runner.run(request_for(Staged()))

        with pytest.raises(ThreadBusy):
            await runner.run(request_for(Parrot(), "other text"))

    async def test_run__same_request_in_another_scope(self, runner):
        """Somebody else's request is never the same request."""
        await run(runner, scope="user:1")
        events = await run(runner, Failing(2, RuntimeError("boom")), scope="user:2")

        assert kinds(events)[-1] == "RUN_ERROR"


class TestStop:
    async def test_stop__nothing_runs(self, runner):
        """There is nothing to stop on an unknown or idle thread."""
        assert await runner.stop(thread()) is False
        await run(runner)
        assert await runner.stop(thread()) is False

    async def test_stop__live_run(self, runner):
        """A stopped run ends well, and its half answer is kept."""
        agent = Staged()
        reader = await runner.run(request_for(agent))
        await within(agent.waiting.wait())

        assert await runner.stop(thread()) is True
        assert await runner.stop(thread()) is False
        assert kinds(await collect(reader))[-1] == "RUN_FINISHED"
        assert text_of(await history(runner)) == "par"
        assert not await runner.is_running(thread())

    async def test_stop__by_run_id(self, runner):
        """With a run id only that run is stopped."""
        agent = Staged()
        reader = await runner.run(request_for(agent, run="r2"))
        await within(agent.waiting.wait())

        assert await runner.stop(thread(), "r1") is False
        assert await runner.stop(thread(), "r2") is True
        await collect(reader)

    async def test_stop__other_scope(self, runner):
        """Nobody stops the thread of another scope by knowing its id."""
        await runner.run(request_for(Staged(), scope="user:1"))

        assert await runner.stop(thread(scope="user:2")) is False
        assert await runner.is_running(thread(scope="user:1"))


class TestScopes:
    async def test_run__same_id_in_two_scopes(self, runner):
        """Two scopes may use one thread id for two threads, at the same time."""
        agents = [Staged(), Staged()]
        readers = [
            await runner.run(request_for(agent, scope=f"user:{number}", run=f"r{number}"))
            for number, agent in enumerate(agents)
        ]
        for agent in agents:
            agent.cue.set()
        for reader in readers:
            await collect(reader)

        assert runs_in(await history(runner, scope="user:0")) == ["r0"]
        assert runs_in(await history(runner, scope="user:1")) == ["r1"]
        assert agents[0].contexts[0].thread_key != agents[1].contexts[0].thread_key

    @pytest.mark.parametrize(
        ("one", "other"), [(("a", "bc"), ("ab", "c")), (("a:1", "b"), ("a", "1:b"))]
    )
    def test_key__scope_and_id_run_together(self, one, other):
        """No combination of scope and id is mistaken for another one."""
        assert ThreadRef(*one).key != ThreadRef(*other).key

    def test_key__half_an_emoji(self):
        """An id no thread can have still has a key, so that asking for it is harmless."""
        assert ThreadRef("user:1", "\ud83d").key

    async def test_clear__own_scope_only(self, runner):
        """Clearing forgets all threads of a scope, and nothing of anybody else's."""
        for scope in ("user:1", "user:2"):
            for thread_id in ("t1", "t2"):
                await run(runner, scope=scope, thread=thread_id)

        await runner.threads.clear("user:1")

        assert await known(runner, "t1", "t2", scope="user:1") == []
        assert await known(runner, "t1", "t2", scope="user:2") == ["t1", "t2"]

    async def test_clear__thread_is_new_again(self, runner):
        """After clearing nothing of a thread is known, so its messages are new again."""
        message = user_message("one", "u1")
        await run(runner, run="r1", messages=[message])
        await runner.threads.clear("user:1")

        events = await run(runner, run="r2", messages=[message])

        assert events[0]["input"]["messages"] == [message]


class TestLimits:
    @pytest.mark.parametrize("options", [{"max_threads": 0}, {"max_bytes": 0}])
    def test_runner__impossible_limit(self, options):
        """A limit under which nothing could be kept is refused."""
        with pytest.raises(ValueError, match="at least 1"):
            InMemoryRunner(**options)

    async def test_run__too_many_runs(self):
        """Of a thread with too many runs the oldest go first."""
        runner = InMemoryRunner(max_runs_per_thread=2)
        for number in range(4):
            await run(runner, run=f"r{number}")

        assert runs_in(await history(runner)) == ["r2", "r3"]

    @pytest.mark.parametrize("unlimited", [None, 0])
    async def test_run__any_number_of_runs(self, unlimited):
        """Without that limit all runs are kept."""
        runner = InMemoryRunner(max_runs_per_thread=unlimited)
        for number in range(4):
            await run(runner, run=f"r{number}")

        assert len(runs_in(await history(runner))) == 4

    async def test_run__too_many_threads(self, caplog):
        """The thread that was longest unused goes first; it is said once."""
        runner = InMemoryRunner(max_threads=2)
        with caplog.at_level(logging.WARNING, "copilotkit.run"):
            for thread_id in ("t1", "t2", "t3", "t4"):
                await run(runner, thread=thread_id)

        assert await known(runner, "t1", "t2", "t3", "t4") == ["t3", "t4"]
        assert caplog.text.count("is full") == 1

    async def test_run__thread_used_again(self):
        """Running and connecting count as use, being listed does not."""
        runner = InMemoryRunner(max_threads=3)
        for thread_id in ("t1", "t2", "t3"):
            await run(runner, thread=thread_id)
        await history(runner, "t1")
        await run(runner, thread="t2", run="again")
        await run(runner, thread="t4")

        assert await known(runner, "t1", "t2", "t3", "t4") == ["t1", "t2", "t4"]

    async def test_run__too_many_bytes(self):
        """When the stored events grow too large whole threads go, but not the one just written."""
        runner = InMemoryRunner(max_bytes=5000)
        for thread_id in ("t1", "t2", "t3"):
            await run(runner, text="x" * 1000, thread=thread_id)
        await run(runner, text="x" * 10_000, thread="t4")

        assert await known(runner, "t1", "t2", "t3", "t4") == ["t4"]

    async def test_run__ids_are_counted(self):
        """Ids of messages take room like events: threads of many go as those of long ones do."""
        runner = InMemoryRunner(max_bytes=100_000)

        for thread_id in ("t1", "t2", "t3"):
            messages = [user_message("", f"{thread_id}-{n}") for n in range(400)]
            await run(runner, thread=thread_id, messages=messages)

        assert await known(runner, "t1", "t2", "t3") == ["t3"]
        for thread_id in ("t4", "t5"):
            await run(runner, thread=thread_id)
        assert await known(runner, "t3", "t4", "t5") == ["t3", "t4", "t5"]

    async def test_run__ids_are_bounded(self, monkeypatch):
        """Of the ids of one thread the oldest are forgotten, and what they took is free again."""
        monkeypatch.setattr("copilotkit_django.runners.memory.MAX_SEEN", 10)
        runner = InMemoryRunner(max_runs_per_thread=1)

        for number in range(30):
            await run(runner, run=f"r{number}")
        first = runner._bytes
        for number in range(30, 60):
            await run(runner, run=f"r{number}")

        assert runner._bytes == first
        await runner.threads.clear("user:1")
        assert runner._bytes == 0

    async def test_run__held_thread_is_kept(self):
        """A thread that a run holds is never dropped."""
        runner = InMemoryRunner(max_threads=1)
        agent = Staged()
        reader = await runner.run(request_for(agent, thread="t1"))
        await run(runner, thread="t2")
        await run(runner, thread="t3")
        agent.cue.set()

        assert kinds(await collect(reader))[-1] == "RUN_FINISHED"
        assert await known(runner, "t1", "t2", "t3") == ["t1"]


class TestDrain:
    async def test_drain__live_runs(self, runner):
        """At the end of the process live runs end with an error and their threads are free."""
        agents = [Staged(), Staged()]
        readers = [
            await runner.run(request_for(agent, thread=f"t{number}"))
            for number, agent in enumerate(agents)
        ]
        for agent in agents:
            await within(agent.waiting.wait())

        await within(runner.drain())

        for number, reader in enumerate(readers):
            assert kinds(await collect(reader))[-1] == "RUN_ERROR"
            assert not await runner.is_running(thread(f"t{number}"))

    async def test_drain__run_that_has_not_begun(self, runner):
        """A run drained before its first step ends as well."""
        reader = await runner.run(request_for(Staged()))

        await within(runner.drain())

        assert kinds(await collect(reader)) == ["RUN_ERROR"]
        assert not await runner.is_running(thread())

    async def test_drain__nothing_runs(self, runner, monkeypatch):
        """Where nothing runs there is nothing to wait for."""
        monkeypatch.setattr(memory, "DRAIN_SECONDS", 60)
        await run(runner)

        await within(runner.drain())

        assert await known(runner, "t1") == ["t1"]
