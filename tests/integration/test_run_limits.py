"""How far one run may go, how many may live, and how that is said: before the first byte with a
status, after it with RUN_ERROR."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from copilotkit_django.runners import InMemoryRunner, ThreadRef
from copilotkit_django.runners.database import DatabaseRunner
from tests.acting import Parrot, Staged, delta, ending, opening
from tests.talk import kinds, run_input, text_of, until, user_message, within

from .site import Caller, first_event, read

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=[InMemoryRunner, DatabaseRunner])
def runner(request) -> Any:
    return request.param()


def on_thread(number: int, **fields: Any) -> Any:
    return run_input(thread=f"t{number}", run=f"r{number}", **fields)


async def statuses(caller: Caller, count: int, **headers: str) -> tuple[list[int], list[Any]]:
    """Start as many runs at once; their statuses, sorted, and those that live."""

    async def one(number: int) -> Any:
        return await caller.open("POST", "/agent/default/run", on_thread(number), **headers)

    responses = await asyncio.gather(*map(one, range(count)))
    live = [response for response in responses if response.streaming]
    return sorted(response.status_code for response in responses), live


class TestConcurrentRuns:
    async def test_run__one_too_many(self, serve, alice, bob, runner):
        """It is refused with a status; other owners are not."""
        agent = Staged()
        serve(agents={"default": agent}, runner=runner, concurrent_runs_per_owner=2)

        found, live = await statuses(alice, 5)
        assert found == [200, 200, 429, 429, 429]
        refused = await alice.run(on_thread(9))
        assert refused.headers["Retry-After"] == "5"
        assert refused.data["error"] == "too_many_runs"
        found, others = await statuses(bob, 2)
        assert found == [200, 200]

        agent.cue.set()
        for response in (*live, *others):
            assert kinds((await read(response)).events)[-1] == "RUN_FINISHED"

    async def test_run__next_one_at_once(self, serve, alice, runner):
        """Whoever is told the end of a run may start another the same moment."""
        serve(runner=runner, concurrent_runs_per_owner=1)

        for number in range(5):
            assert (await alice.run(on_thread(number))).status == 200

    async def test_run__reader_gone(self, serve, alice, runner):
        """A run that nobody reads lives on, and counts."""
        agent = Staged()
        serve(agents={"default": agent}, runner=runner, concurrent_runs_per_owner=1)
        rest = await first_event(await alice.open("POST", "/agent/default/run", on_thread(1)))
        await rest.aclose()

        assert (await alice.run(on_thread(2))).status == 429
        agent.cue.set()
        async with asyncio.timeout(5):
            while (await alice.run(on_thread(2))).status == 429:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def test_run__sent_twice(self, serve, alice, runner):
        """A request sent again joins its run, at the limit or not."""
        agent = Staged()
        serve(agents={"default": agent}, runner=runner, concurrent_runs_per_owner=1)
        first = await alice.open("POST", "/agent/default/run", on_thread(1))
        second = await alice.open("POST", "/agent/default/run", on_thread(1))

        agent.cue.set()

        assert (await read(first)).events == (await read(second)).events

    async def test_run__busy_thread(self, serve, alice, runner):
        """On a busy thread the answer is the one the client shows, and takes no place."""
        agent = Staged()
        serve(agents={"default": agent}, runner=runner, concurrent_runs_per_owner=2)
        live = await alice.open("POST", "/agent/default/run", on_thread(1))

        busy = await alice.run(run_input("other", thread="t1", run="r9"))
        assert busy.events[0]["code"] == "THREAD_BUSY"
        agent.cue.set()
        assert (await alice.run(on_thread(2))).status == 200
        await read(live)

    async def test_run__superseding(self, serve, alice, runner):
        """A run that takes the place of another does so at the limit, too."""
        agent = Staged()
        serve(
            agents={"default": agent},
            runner=runner,
            concurrent_runs_per_owner=1,
            concurrent_runs="supersede",
        )
        first = await alice.open("POST", "/agent/default/run", on_thread(1))
        await within(agent.waiting.wait())
        second = await alice.open("POST", "/agent/default/run", on_thread(2))
        assert second.status_code == 429
        second = await alice.open(
            "POST", "/agent/default/run", run_input("other", thread="t1", run="r9")
        )
        agent.cue.set()

        assert kinds((await read(second)).events)[-1] == "RUN_FINISHED"
        await read(first)

    async def test_run__refused_otherwise(self, serve, alice, runner):
        """What never starts holds no place."""
        runtime = serve(runner=runner, concurrent_runs_per_owner=1)

        assert (await alice.run(on_thread(1), agent="nobody")).status == 404
        assert (await alice.run(b"{")).status == 400
        assert (await alice.run(on_thread(1))).status == 200
        await until(lambda: len(runtime.endpoint.slots) == 0)

    async def test_run__members_of_a_team(self, serve, runner):
        """Members of a team that shares its threads have places of their own."""

        def member(request):
            pk = int(request.headers["x-member"])
            return SimpleNamespace(pk=pk, is_authenticated=True), "team:1"

        agent = Staged()
        serve(
            agents={"default": agent},
            authentication=member,
            runner=runner,
            concurrent_runs_per_owner=1,
        )
        found, live = await statuses(Caller(), 2, x_member="1")
        assert found == [200, 429]
        other = await Caller().open("POST", "/agent/default/run", on_thread(7), x_member="2")
        assert other.status_code == 200

        agent.cue.set()
        for response in (*live, other):
            await read(response)

    async def test_run__shared_scope(self, serve, runner):
        """Where all visitors share one scope nobody owns a run."""
        serve(authentication="anonymous-shared", runner=runner, concurrent_runs_per_owner=1)

        found, live = await statuses(Caller(), 3)

        assert found == [200] * 3
        for response in live:
            await read(response)

    async def test_suggest__no_place(self, serve, alice, runner):
        """Suggestions end with their reader and are not counted."""
        agent = Staged()
        serve(agents={"default": agent}, runner=runner, concurrent_runs_per_owner=1)
        live = await alice.open("POST", "/agent/default/run", on_thread(1))
        await within(agent.waiting.wait())
        agent.cue.set()

        answer = await alice.ask("POST", "/agent/default/suggest", on_thread(2))

        assert answer.status == 200
        await read(live)


class TestRunSeconds:
    async def test_run__too_long(self, serve, alice, runner, caplog):
        """It is ended with a code, what it said is kept, and its thread is free."""
        agent = Staged()
        serve(agents={"default": agent}, runner=runner, max_run_seconds=0.05)

        events = (await alice.run(run_input())).events

        assert agent.cancelled.is_set()
        assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", "RUN_TIMEOUT")
        assert events[-2]["type"] == "TEXT_MESSAGE_END"
        assert text_of(events) == "par"
        assert not await runner.is_running(ThreadRef("user:alice", "t1"))
        assert "takes longer" in caplog.text
        again = (await alice.connect(run_input())).events
        assert (text_of(again), again[-1]["code"]) == ("par", "RUN_TIMEOUT")

    async def test_run__too_long_and_deaf(self, serve, alice, runner):
        """An agent that does not listen is left behind after the grace."""

        async def deaf(context):
            for event in opening(context):
                yield event
            while not context.headers.get("never"):
                try:
                    await asyncio.sleep(0.2)
                    return
                except asyncio.CancelledError:
                    pass

        serve(agents={"default": deaf}, runner=runner, max_run_seconds=0.02)

        events = (await alice.run(run_input())).events

        assert events[-1]["code"] == "RUN_TIMEOUT"

    async def test_run__in_time(self, serve, alice, runner):
        """The clock of a run that is over does nothing."""
        serve(runner=runner, max_run_seconds=1)

        first = (await alice.run(on_thread(1))).events
        await asyncio.sleep(1.1)
        again = (await alice.connect(on_thread(1))).events

        assert kinds(first)[-1] == kinds(again)[-1] == "RUN_FINISHED"

    async def test_suggest__too_long(self, serve, alice, runner):
        """Suggestions have no more time than runs."""
        serve(agents={"default": Staged()}, runner=runner, max_run_seconds=0.05)

        events = (await alice.ask("POST", "/agent/default/suggest", run_input())).events

        assert events[-1]["code"] == "RUN_TIMEOUT"


def chatty(count: int, text: str = "x", pause: bool = False) -> Any:
    """An agent that says something so often."""

    async def agent(context):
        for event in opening(context, text):
            yield event
        for _ in range(count - 1):
            if pause:
                await asyncio.sleep(0)
            yield delta(context, text)
        for event in ending(context):
            yield event

    return agent


class TestRunSize:
    @pytest.mark.parametrize("pause", [True, False])
    async def test_run__too_many_events(self, serve, alice, runner, pause, caplog):
        """It is ended at the limit, whether its agent ever waits or not."""
        serve(
            agents={"default": chatty(10_000, pause=pause)}, runner=runner, max_events_per_run=100
        )

        events = (await alice.run(run_input())).events

        assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", "RUN_TOO_LARGE")
        # The event that was too many, and the end of what was open.
        assert len(events) == 100 + 1 + 2
        assert "more than a run may" in caplog.text
        assert kinds((await alice.connect(run_input())).events)[-1] == "RUN_ERROR"

    async def test_run__too_many_bytes(self, serve, alice, runner):
        """So it is by size."""
        serve(agents={"default": chatty(1000, "x" * 1000)}, runner=runner, max_bytes_per_run=50_000)

        answer = await alice.run(run_input())

        assert answer.events[-1]["code"] == "RUN_TOO_LARGE"
        assert 50_000 < len(answer.body) < 55_000

    async def test_run__just_enough(self, serve, alice, runner):
        """What is allowed is allowed to the last event."""
        serve(agents={"default": chatty(97)}, runner=runner, max_events_per_run=100)

        assert kinds((await alice.run(run_input())).events)[-1] == "RUN_FINISHED"

    async def test_run__side_by_side(self, serve, alice, runner):
        """One that is ended takes none of the others with it."""

        async def agent(context):
            source = chatty(1000) if context.thread_id == "t0" else chatty(50, pause=True)
            async for event in source(context):
                yield event

        serve(agents={"default": agent}, runner=runner, max_events_per_run=100)

        answers = await asyncio.gather(*(alice.run(on_thread(number)) for number in range(5)))

        ends = [kinds(answer.events)[-1] for answer in answers]
        assert ends == ["RUN_ERROR"] + ["RUN_FINISHED"] * 4

    async def test_run__no_limit(self, serve, alice, runner):
        """None is no limit."""
        none = dict.fromkeys(
            (
                "concurrent_runs_per_owner",
                "max_run_seconds",
                "max_events_per_run",
                "max_bytes_per_run",
                "max_messages",
            )
        )
        serve(agents={"default": chatty(2000)}, runner=runner, **none)

        assert kinds((await alice.run(run_input())).events)[-1] == "RUN_FINISHED"


class TestMessages:
    @pytest.mark.parametrize("operation", ["run", "suggest"])
    async def test_input__too_many(self, serve, alice, operation):
        """An input with more messages is not started."""
        serve(agents={"default": Parrot()}, max_messages=3)

        def wire(count: int) -> Any:
            return run_input(messages=[user_message("hi", f"u{n}") for n in range(count)])

        path = f"/agent/default/{operation}"
        assert (await alice.ask("POST", path, wire(3))).status == 200
        answer = await alice.ask("POST", path, wire(4))

        assert answer.status == 400
        assert answer.data == {
            "error": "too_many_messages",
            "message": "This conversation has more than 3 messages. Begin a new one to go on.",
        }

    async def test_input__too_many_to_look_at(self, serve, alice):
        """They are counted before anything is made of them."""
        serve(max_messages=3)

        answer = await alice.ask("POST", "/agent/default/run", run_input(messages=[{}] * 4))

        assert answer.data["error"] == "too_many_messages"

    async def test_connect__any_number(self, serve, alice):
        """Whoever only reads may send what they like."""
        serve(max_messages=1)
        wire = run_input(messages=[user_message("hi", f"u{n}") for n in range(9)])

        assert (await alice.connect(wire)).status == 200
