"""The owner task of a run: whatever an agent does, there is one clean end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import re

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections

from copilotkit_django.runners import RunPolicy
from tests.acting import Failing, Parrot, Staged, delta, ending, opening
from tests.talk import kinds, text_of, until, within

from .requests import events_of, started, turns

WHOLE = [
    "RUN_STARTED",
    "TEXT_MESSAGE_START",
    "TEXT_MESSAGE_CONTENT",
    "TEXT_MESSAGE_END",
    "RUN_FINISHED",
]
#: Half an answer, properly closed.
STOPPED = WHOLE
FAILED = [*WHOLE[:-1], "RUN_ERROR"]

#: As good as without an end, but no test hangs that finds it said in full.
SAID_WITHOUT_END = 1_000_000


async def test_run__ordinary():
    """What an agent yields is what readers get, and the end is told to the owner."""
    ended = []

    async def on_end(task):
        ended.append(kinds_sent(task))

    task = started(Parrot(), text="hello", on_end=on_end)
    events = await events_of(task)

    assert kinds(events) == WHOLE
    assert text_of(events) == "hello"
    assert ended == [WHOLE[:-1]], "the terminal event waits until its owner has freed the thread"
    assert task.over


def kinds_sent(task):
    return [re.search(rb'"type":"(\w+)"', event).group(1).decode() for event in task.log.events]


class TestFailure:
    @pytest.mark.parametrize(
        ("after", "expected"),
        [
            (0, ["RUN_ERROR"]),
            (1, ["RUN_STARTED", "RUN_ERROR"]),
            (2, ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_END", "RUN_ERROR"]),
            (3, FAILED),
            (5, WHOLE),
        ],
    )
    async def test_run__agent_raises(self, after, expected, caplog):
        """Before, amid or after its events: what is open is closed, then comes one end."""
        with caplog.at_level(logging.ERROR):
            events = await events_of(started(Failing(after, RuntimeError("secret"))))

        assert kinds(events) == expected
        assert "secret" not in str(events)

    async def test_run__incident(self, caplog):
        """The sentence on the wire ends with an id under which the log has the traceback."""
        with caplog.at_level(logging.ERROR):
            events = await events_of(started(Failing(2, RuntimeError("secret"))))

        incident = re.search(r"\b[0-9a-f]{8}\b", events[-1]["message"]).group()
        (record,) = [each for each in caplog.records if incident in each.getMessage()]
        assert record.exc_info[1].args == ("secret",)

    @pytest.mark.parametrize(("text", "expected"), [("boom", "boom"), ("", None)])
    async def test_run__text_exposed(self, text, expected):
        """Where texts may be shown the text of the exception is, if it has any."""
        policy = RunPolicy(expose_errors=True)

        events = await events_of(started(Failing(2, RuntimeError(text)), policy=policy))

        message = events[-1]["message"]
        assert message == expected if expected else message

    async def test_run__protocol_error(self):
        """A sentence of ours about the protocol is shown: it holds nothing of anybody else's."""

        async def agent(context):
            yield context.started()
            yield {"type": "TEXT_MESSAGE_END", "messageId": "m1"}

        events = await events_of(started(agent))

        assert kinds(events) == ["RUN_STARTED", "RUN_ERROR"]
        assert "m1" in events[-1]["message"]

    @pytest.mark.parametrize("item", [None, "text", object(), {"type": "TEXT_MESSAGE_START"}])
    async def test_run__no_event(self, item):
        """An agent that yields something else than events ends with an error."""

        async def agent(context):
            yield context.started()
            yield item
            yield context.finished()

        events = await events_of(started(agent))

        assert kinds(events) == ["RUN_STARTED", "RUN_ERROR"]

    async def test_run__refused_chunk(self):
        """A chunk before the start of the run is an error like any, and the thread comes free."""
        ended = asyncio.Event()

        async def agent(context):
            yield {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m1", "delta": "x"}

        async def on_end(task):
            ended.set()

        events = await events_of(started(agent, on_end=on_end))

        assert kinds(events) == ["RUN_ERROR"]
        assert ended.is_set()

    async def test_run__says_nothing(self):
        """An agent without an event is an incomplete one, not an empty answer."""

        async def agent(context):
            return
            yield

        assert kinds(await events_of(started(agent))) == ["RUN_ERROR"]

    async def test_run__no_generator(self):
        """An agent whose run is no async generator fails like any other."""

        class Wrong(Parrot):
            def run(self, context):
                return [context.started(), context.finished()]

        assert kinds(await events_of(started(Wrong()))) == ["RUN_ERROR"]

    async def test_run__cleanup_raises(self):
        """An agent that fails while it is being closed cannot spoil an end it has sent."""

        async def agent(context):
            try:
                for event in (*opening(context), *ending(context)):
                    yield event
            finally:
                raise RuntimeError("in finally")

        assert kinds(await events_of(started(agent))) == WHOLE

    async def test_run__owner_fails(self, caplog):
        """Where storing fails readers still get their end, and the log the reason."""

        async def on_end(task):
            raise RuntimeError("disk full")

        with caplog.at_level(logging.ERROR):
            events = await events_of(started(Parrot(), on_end=on_end))

        assert kinds(events) == WHOLE
        assert "disk full" in caplog.text

    async def test_run__goes_on_after_its_end(self):
        """What an agent says after its end is not sent."""

        async def agent(context):
            for event in (*opening(context), *ending(context)):
                yield event
            yield delta(context, "late")

        assert kinds(await events_of(started(agent))) == WHOLE


class TestStop:
    async def test_stop__agent_that_obeys(self):
        """The agent is cancelled where it waits; its half answer is closed, the run ends well."""
        agent = Staged()
        task = started(agent)
        await within(agent.waiting.wait())

        assert task.stop() is True
        events = await events_of(task)

        assert kinds(events) == STOPPED
        assert agent.cancelled.is_set()
        assert agent.contexts[0].stop.is_set()

    async def test_stop__twice(self):
        """Only the first of two stops counts, and none after the end."""
        agent = Staged()
        task = started(agent)
        await within(agent.waiting.wait())

        assert [task.stop(), task.stop()] == [True, False]
        await events_of(task)
        assert task.stop() is False

    async def test_stop__last_word(self):
        """What an agent still says within the grace counts, and so does its own end."""

        async def agent(context):
            for event in opening(context, "par"):
                yield event
            try:
                await context.stop.wait()
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                yield delta(context, "ting")
                for event in ending(context):
                    yield event

        task = started(agent)
        await until(lambda: len(task.log.events) == 3)
        task.stop()
        events = await events_of(task)

        assert text_of(events) == "parting"
        assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_FINISHED"]

    async def test_stop__agent_that_ignores(self, caplog):
        """After the grace the run ends without the agent; what it says then is not sent."""
        release = asyncio.Event()
        done = asyncio.Event()

        async def agent(context):
            try:
                for event in opening(context):
                    yield event
                while not release.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await release.wait()
                yield delta(context, "too late")
            finally:
                done.set()

        task = started(agent)
        await until(lambda: len(task.log.events) == 3)
        with caplog.at_level(logging.WARNING, "copilotkit.run"):
            task.stop()
            events = await events_of(task)
        release.set()
        await within(done.wait())

        assert kinds(events) == STOPPED
        assert text_of(events) == "par"
        assert "did not stop" in caplog.text

    async def test_stop__before_first_step(self):
        """A run stopped before it began is a whole, empty run."""
        task = started(Staged())

        task.stop()

        assert kinds(await events_of(task)) == ["RUN_STARTED", "RUN_FINISHED"]

    async def test_stop__from_another_thread(self):
        """A command or the admin may stop a run of this loop from its own thread."""
        agent = Staged()
        task = started(agent)
        await within(agent.waiting.wait())

        assert await within(asyncio.to_thread(task.stop)) is True

        assert kinds(await events_of(task)) == STOPPED

    async def test_stop__agent_raises_then(self):
        """An agent that fails at being stopped was still stopped, not failed."""

        async def agent(context):
            for event in opening(context):
                yield event
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise RuntimeError("aborted by caller") from None

        task = started(agent)
        await until(lambda: len(task.log.events) == 3)
        task.stop()
        events = await events_of(task)

        assert kinds(events)[-1] == "RUN_FINISHED"
        assert "aborted" not in str(events)

    async def test_stop__agent_that_never_waits(self):
        """An agent that only ever yields is stopped after the grace at the latest."""

        async def agent(context):
            for event in opening(context):
                yield event
            for _ in range(SAID_WITHOUT_END):
                yield delta(context, "x")

        task = started(agent)
        await until(lambda: len(task.log.events) > 3)
        task.stop()
        events = await events_of(task)

        assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_FINISHED"]
        assert len(events) < SAID_WITHOUT_END

    async def test_stop__grace_of_a_polite_agent(self):
        """An agent that watches the stop signal and yields on is not cut off in a sentence."""

        async def agent(context):
            for event in opening(context, ""):
                yield event
            said = 0
            while not context.stop.is_set():
                said += 1
                yield delta(context, "x")
            yield delta(context, ".")
            for event in ending(context):
                yield event

        task = started(agent)
        await until(lambda: len(task.log.events) > 3)
        task.stop()

        assert text_of(await events_of(task)).endswith("x.")


class TestCancel:
    async def test_cancel__while_waiting(self):
        """A run nobody waits for any more is interrupted, which is an error."""
        agent = Staged()
        task = started(agent)
        await within(agent.waiting.wait())

        task.cancel()
        events = await events_of(task)

        assert kinds(events) == FAILED
        assert not agent.contexts[0].stop.is_set()

    async def test_cancel__before_first_step(self):
        """Even a run that never began ends for its readers."""
        task = started(Staged())

        task.cancel()

        assert kinds(await events_of(task)) == ["RUN_ERROR"]

    async def test_cancel__agent_that_never_waits(self):
        """An agent that only ever yields does not outlive its interruption."""
        closed = asyncio.Event()

        async def agent(context):
            try:
                for event in opening(context):
                    yield event
                for _ in range(SAID_WITHOUT_END):
                    yield delta(context, "x")
            finally:
                closed.set()

        task = started(agent)
        await until(lambda: len(task.log.events) > 3)
        task.cancel()
        events = await events_of(task)

        assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
        assert len(events) < SAID_WITHOUT_END
        assert closed.is_set()

    async def test_cancel__while_it_is_stored(self):
        """Interrupting a run that is being stored does not spoil the storing."""
        storing, stored = asyncio.Event(), asyncio.Event()
        go_on = asyncio.Event()

        async def on_end(task):
            storing.set()
            await go_on.wait()
            stored.set()

        task = started(Parrot(), on_end=on_end)
        await within(storing.wait())
        task.cancel()
        await turns()
        go_on.set()

        assert kinds(await events_of(task)) == WHOLE
        assert stored.is_set()

    async def test_wait__longer_than_the_run(self):
        """Waiting tells whether the run came to its end in that time."""
        agent = Staged()
        task = started(agent)

        assert await within(task.wait(0.01)) is False
        agent.cue.set()
        assert await within(task.wait(5)) is True


class TestSurroundings:
    async def test_run__never_awaiting_agent(self):
        """An agent that never waits leaves turns to everybody else on the loop."""
        turns_taken = 0

        async def agent(context):
            for event in opening(context):
                yield event
            for _ in range(10_000):
                yield delta(context, "x")
            for event in ending(context):
                yield event

        async def others():
            nonlocal turns_taken
            while True:
                turns_taken += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        task = started(agent)
        await within(task.wait(5))
        other.cancel()

        assert turns_taken > 100

    async def test_run__context_of_its_own(self):
        """A run outlives its request and sees nothing of the request's context."""
        variable = contextvars.ContextVar("variable", default="unset")
        seen = []

        async def agent(context):
            seen.append(variable.get())
            yield context.started()
            yield context.finished()

        variable.set("of the request")
        await events_of(started(agent))

        assert seen == ["unset"]

    async def test_run__context_variables_of_the_agent(self):
        """The generator is driven and closed in one task, as frameworks with tokens need it."""
        variable = contextvars.ContextVar("variable")
        failures = []

        async def agent(context):
            token = variable.set("inside")
            try:
                for event in opening(context):
                    yield event
                await asyncio.sleep(60)
            finally:
                try:
                    variable.reset(token)
                except ValueError as error:
                    failures.append(error)

        task = started(agent)
        await until(lambda: len(task.log.events) == 3)
        task.stop()
        await events_of(task)

        assert not failures

    async def test_run__activity_messages(self):
        """Messages between server and page are echoed, but not shown to the agent."""
        agent = Staged()
        agent.cue.set()
        activity = {"id": "a1", "role": "activity", "activityType": "plan", "content": {}}
        user = {"id": "u1", "role": "user", "content": "hi"}

        events = await events_of(started(agent, messages=[activity, user]))

        assert agent.contexts[0].messages == [user]
        assert events[0]["input"]["messages"] == [activity, user]

    @pytest.mark.django_db(transaction=True)
    async def test_run__database_in_agent(self):
        """Database connections an agent opens in threads are closed with its run."""
        used = []

        def count():
            used.append(connections["default"])
            return User.objects.count()

        async def agent(context):
            yield context.started()
            await sync_to_async(count)()
            await User.objects.acount()
            await sync_to_async(count)()
            yield context.finished()

        events = await events_of(started(agent))

        assert kinds(events) == ["RUN_STARTED", "RUN_FINISHED"]
        assert used[0] is used[1], "one run works on one thread"
        await until(lambda: used[0].connection is None)
