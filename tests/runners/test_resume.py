"""Going on where a reader was cut off, over every store."""

from __future__ import annotations

import asyncio
import json

import pytest

from copilotkit_django.runners import Cursor
from copilotkit_django.runners.log import START
from tests.acting import Staged, delta, ending, opening
from tests.talk import kinds, text_of, within

from .asking import LONG, history, run, runs_in, start, thread
from .stores import DATABASES
from .test_ownership import crash, expired, written

on_databases = pytest.mark.parametrize("store", DATABASES, indirect=True)


class Reader:
    """A reader that wants cursors, and what it was sent: each event with its cursor."""

    def __init__(self, batches):
        self.batches = batches
        self.found = []

    @classmethod
    async def open(cls, runner, after=START):
        return cls(await runner.connect(thread(), after=after))

    async def read(self, until=lambda cursor: False):
        """Go on until an event with such a cursor has come, or to the end."""
        async with asyncio.timeout(5):
            async for batch in self.batches:
                for index, event in enumerate(batch):
                    self.found.append((f"{batch.prefix}{batch.first + index}", event))
                if self.found and until(self.found[-1][0]):
                    break
        return self.found


async def read(runner, after=START):
    """Everything a reader that wants cursors is sent."""
    return await (await Reader.open(runner, after)).read()


def in_run(position):
    """Whether a cursor is one of raw events of the run at that position."""
    return lambda cursor: cursor.rpartition("-")[2].startswith(f"{position}.")


def events_of(found):
    return [json.loads(event) for _, event in found]


def bytes_of(found):
    return [event for _, event in found]


async def talkative(context):
    for event in opening(context, "0"):
        yield event
    for number in range(1, 8):
        yield delta(context, str(number))
        await asyncio.sleep(0)
    for event in ending(context):
        yield event


class Halting(Staged):
    """Says a few words, waits for its cue, says a few more."""

    async def run(self, context):
        for event in opening(context, "0"):
            yield event
        for number in range(1, 4):
            yield delta(context, str(number))
        self.waiting.set()
        await self.cue.wait()
        for number in range(4, 8):
            yield delta(context, str(number))
        for event in ending(context):
            yield event


class TestResume:
    async def test_connect__cut_in_a_history(self, runner):
        """From any place in runs that are over, a reader is sent exactly the rest."""
        for number in range(3):
            await run(runner, talkative, run=f"r{number}")
        whole = await read(runner)
        assert bytes_of(whole) == [
            json.dumps(e, separators=(",", ":")).encode() for e in await history(runner)
        ]

        for place, (cursor, _) in enumerate(whole):
            assert await read(runner, Cursor.parse(cursor)) == whole[place + 1 :], cursor

    @pytest.mark.parametrize("where", ["runner", "elsewhere"])
    async def test_connect__cut_in_a_live_run(self, store, make_runner, where):
        """In a run that was live, a reader is sent the rest byte for byte, while it is going on
        and after its end, by whichever process."""
        runner = make_runner()
        other = make_runner() if where == "elsewhere" and store != "memory" else runner
        await run(runner, talkative, run="r0")
        agent = Halting()
        live = await start(runner, agent, run="r1")
        await within(agent.waiting.wait())
        watching = await Reader.open(other)
        first = list(await watching.read(until=in_run(2)))
        cut = [await Reader.open(other, Cursor.parse(cursor)) for cursor, _ in first[:-1]]
        for each in cut:
            await each.read(until=in_run(2))
        agent.cue.set()
        await live
        whole = await watching.read()

        for place, each in enumerate(cut):
            assert await each.read() == whole[place + 1 :]
        if store == "memory":
            # It keeps no raw events of a run that is over: such a reader is sent a reset.
            return
        begin = kinds(events_of(whole)).index("RUN_STARTED", 1)
        for place in range(begin, len(whole)):
            assert await read(other, Cursor.parse(whole[place][0])) == whole[place + 1 :]

    async def test_connect__place_that_never_was(self, runner):
        """A cursor of another time, or from the future, is answered by a reset and everything."""
        await run(runner, talkative)
        whole = events_of(await read(runner))

        for text in ("abc-1.3", "99.0"):
            events = events_of(await read(runner, Cursor.parse(text)))
            assert events[0] == {"type": "CUSTOM", "name": "copilotkit.reset", "value": 0}
            assert events[1:] == whole

    async def test_connect__unknown_thread(self, runner):
        """On a thread that is gone there is nothing to go on with."""
        assert await read(runner, Cursor.parse("1.3")) == []

    @on_databases
    async def test_connect__raw_events_gone(self, runner, elsewhere, monkeypatch):
        """When the raw events are gone a reader is told to begin that run again."""
        monkeypatch.setattr("copilotkit_django.runners.upkeep.SETTLE_SECONDS", -60)
        agent = Halting()
        live = await start(runner, agent, run="r1")
        await within(agent.waiting.wait())
        watching = await Reader.open(elsewhere)
        await watching.read(until=in_run(1))
        agent.cue.set()
        await live
        whole = await watching.read()
        await run(runner, talkative, run="r2")
        runner.resume_seconds = -60
        await runner.sweep()

        for cursor, _ in whole[:-1]:
            events = events_of(await read(elsewhere, Cursor.parse(cursor)))
            assert events[0] == {"type": "CUSTOM", "name": "copilotkit.reset", "value": 1}
            assert runs_in(events) == ["r1", "r2"]
            assert text_of(events) == "01234567" * 2
        assert runs_in(events_of(await read(elsewhere, Cursor.parse(whole[-1][0])))) == ["r2"]

    @on_databases
    async def test_connect__run_that_was_lost(self, make_runner):
        """Who had more of a lost run than was stored is sent its ending, and the runs after it."""
        gone, survivor = make_runner(lease_seconds=LONG), make_runner()
        agent = Halting()
        live = await start(gone, agent, run="r1")
        await within(agent.waiting.wait())
        await written(gone)
        await crash(gone)
        await live
        await expired(survivor)
        await run(survivor, talkative, run="r2")

        for number in (5, 6, 100):
            found = events_of(await read(survivor, Cursor.parse(f"1.{number}")))
            assert kinds(found)[:3] == ["TEXT_MESSAGE_END", "RUN_ERROR", "RUN_STARTED"]
            assert runs_in(found) == ["r2"]
        middle = events_of(await read(survivor, Cursor.parse("1.2")))
        assert text_of(middle).startswith("123")
        ending_ = await read(survivor, Cursor.parse("1.6"))
        assert await read(survivor, Cursor.parse(ending_[0][0])) == ending_[1:]


def test_parse__nonsense():
    """What is no cursor of ours is none."""
    for text in (
        "",
        "1",
        "1.",
        ".1",
        "1.x2",
        "-1.0",
        "1.2.3",
        "g-1.2",
        "1.2\n",
        "\uff19.1",
        "1" * 30,
    ):
        assert Cursor.parse(text) is None


def test_package__replay():
    """What custom runners replay with is a function, whichever runners are in use."""
    import copilotkit_django.runners.database  # noqa: F401 - imports what could stand in its way
    from copilotkit_django.runners import replay

    assert callable(replay)
