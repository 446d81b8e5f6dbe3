"""What a runner of a project's own is given to keep runs and to give them back."""

from __future__ import annotations

import json
import pickle

import pytest

from copilotkit_django.agents import Agent, RunInput
from copilotkit_django.runners import RunRecord, RunRequest, RunTask, ThreadRef, replay
from copilotkit_django.runners.log import MAX_BATCH, START, Cursor
from tests.acting import Parrot, Staged
from tests.talk import collect, kinds, run_input, text_of, within

#: Protocol 1.0 has it, the one before does not.
OUTCOME = {"type": "cancelled"}


class Deciding(Agent):
    async def run(self, context):
        yield context.started()
        yield context.finished(outcome=OUTCOME)


def request_for(agent, text="hi", *, run="r1", digest=b"", **fields):
    return RunRequest(
        thread=ThreadRef("user:1", "t1"),
        agent_id="default",
        agent=agent,
        input=RunInput.from_wire(run_input(text, run=run, **fields)),
        digest=digest,
    )


async def recorded(*arguments, **options) -> RunRecord:
    records = []

    async def on_end(task):
        records.append(task.record())

    task = RunTask(request_for(Parrot(), *arguments, **options), on_end=on_end)
    task.start()
    await collect(task.log.read())
    return records[0]


class TestRecord:
    async def test_record__is_the_run(self):
        """A record holds the compacted run, ended, and the ids of its messages."""
        record = await recorded("hello")

        events = [json.loads(event) for event in record.events]
        assert kinds(events)[0] == "RUN_STARTED"
        assert kinds(events)[-1] == "RUN_FINISHED"
        assert text_of(events) == "hello"
        assert record.message_ids == {"u-r1", "r1-m1"}
        assert record.modern is False

    async def test_record__pickled(self):
        """A record goes into caches and queues as it is."""
        record = await recorded()

        assert pickle.loads(pickle.dumps(record)) == record  # noqa: S301


@pytest.mark.parametrize(
    ("run", "digest", "same"),
    [("r1", b"a", True), ("r1", b"b", False), ("r2", b"a", False), ("r1", b"", False)],
)
async def test_is_of(run, digest, same):
    """A request is the one that started a run if run id and body are the same, and known."""
    task = RunTask(request_for(Parrot(), digest=b"a"))

    assert task.is_of(request_for(Parrot(), run=run, digest=digest)) is same


class TestReplay:
    async def test_replay__history_then_live(self):
        """Runs that are over come first, then the live one to its end."""
        records = [await recorded("one", run="r1"), await recorded("two", run="r2")]
        agent = Staged()
        live = RunTask(request_for(agent, run="r3"))
        live.start()
        await within(agent.waiting.wait())
        agent.cue.set()

        events = await collect(replay(records, live))

        assert text_of(events) == "onetwopar"
        assert [e["runId"] for e in events if e["type"] == "RUN_FINISHED"] == ["r1", "r2", "r3"]

    async def test_replay__ended_meanwhile(self):
        """A run that was live and is stored by the time the history is there comes once."""
        records = []

        async def on_end(task):
            records.append(task.record())

        live = RunTask(request_for(Parrot(), "once"), on_end=on_end)
        live.start()
        await within(live.wait(1))

        assert text_of(await collect(replay(records, live))) == "once"

    async def test_replay__long_history(self):
        """A long history goes out in batches of bounded size."""
        records = [await recorded(run=f"r{number}") for number in range(MAX_BATCH)]

        sizes = [len(batch) async for batch in replay(records, None)]

        assert max(sizes) < 2 * MAX_BATCH
        assert sum(sizes) == sum(len(record.events) for record in records)

    async def test_replay__older_reader(self):
        """What a client with protocol 1.0 was sent is brought to the form of one without."""
        result = {"type": "TOOL_CALL_RESULT", "content": [{"type": "text", "text": "42"}]}
        record = RunRecord("1", [json.dumps(result).encode()], frozenset(), modern=True)

        [older] = await collect(replay([record], None))
        [newer] = await collect(replay([record], None, modern=True))

        assert older["content"] == "42"
        assert newer == result

    async def test_replay__older_reader_of_a_live_run(self):
        """The same goes for a run that goes on."""
        live = RunTask(request_for(Deciding(), protocolVersion="1.0"))
        live.start()

        older = await collect(replay([], live))
        newer = await collect(replay([], live, modern=True))

        assert "outcome" not in older[-1]
        assert newer[-1]["outcome"] == OUTCOME

    @pytest.mark.parametrize("after", [None, START])
    async def test_replay__from_the_start(self, after):
        """Who begins is sent the history and nothing else."""
        events = await collect(replay([await recorded()], None, after=after))

        assert kinds(events)[0] == "RUN_STARTED"

    async def test_replay__from_a_place(self):
        """Who wants to go on from a place is told to forget what it has."""
        events = await collect(replay([await recorded()], None, after=Cursor("", 1, "", 3)))

        assert kinds(events)[:2] == ["CUSTOM", "RUN_STARTED"]
        assert events[0]["name"] == "copilotkit.reset"
