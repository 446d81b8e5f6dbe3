"""Whatever an agent does, its readers get a proper stream and its thread is free afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Self

from hypothesis import given
from hypothesis import strategies as st

from copilotkit_django.agents.base import Agent, RunContext, RunInput
from copilotkit_django.runners import AgentRunner, InMemoryRunner, RunPolicy, RunRequest, ThreadRef
from tests.servers.streams import assert_complete, types_of
from tests.unit.events import strategies

#: Far longer than any of these runs takes, far shorter than a hanging one.
PATIENCE = 30

POLICY = RunPolicy(stop_grace=0.02, idle=None)

#: What an agent does beside yielding events.
acts = st.sampled_from(
    [
        *("pause", "pause", "raise", "cancelled", "exit", "return"),
        *("hang", "hang on cancel", "talk on cancel", "stop iteration"),
    ]
)


class UnrulyError(BaseException):
    """Nothing an `except Exception` would catch."""


class UnrulyAgent(Agent):
    """Yields what it was given, and does what it was told where a string stands instead."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def clone(self) -> Self:
        return self

    async def run(self, context: RunContext) -> AsyncIterator[Any]:
        for is_act, item in self.items:
            if not is_act:
                yield item
            elif item == "pause":
                await asyncio.sleep(0)
            elif item == "raise":
                raise LookupError("secret")
            elif item == "cancelled":
                raise asyncio.CancelledError
            elif item == "exit":
                raise UnrulyError
            elif item == "stop iteration":
                raise StopAsyncIteration
            elif item == "return":
                return
            elif item == "hang":
                await asyncio.Event().wait()
            else:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    if item == "hang on cancel":
                        await asyncio.Event().wait()
                    yield context.finished()


class NoAgent(Agent):
    """Its `run` is anything but an async generator function."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def clone(self) -> Self:
        return self

    def run(self, context: RunContext) -> Any:
        if self.what == "raise":
            raise LookupError("secret")
        return self.what


def started(run_id: str) -> dict[str, Any]:
    return {"type": "RUN_STARTED", "threadId": "t1", "runId": run_id}


def finished(run_id: str) -> dict[str, Any]:
    return {"type": "RUN_FINISHED", "threadId": "t1", "runId": run_id}


def request_for(agent: Agent, run_id: str, *, modern: bool) -> RunRequest:
    run_input = RunInput("t1", run_id, protocol_version="1.0" if modern else None)
    return RunRequest(ThreadRef("s", "t1"), "agent", agent, run_input, policy=POLICY)


async def read(reader: AsyncIterator[list[bytes]]) -> list[dict[str, Any]]:
    return [json.loads(event) async for batch in reader for event in batch]


async def assert_survives(
    runner: AgentRunner, agent: Agent, *, modern: bool, stop_after: int | None
) -> None:
    thread = ThreadRef("s", "t1")
    async with asyncio.timeout(PATIENCE):
        reader = await runner.run(request_for(agent, "r1", modern=modern))
        if stop_after is not None:
            for _ in range(stop_after):
                await asyncio.sleep(0)
            await runner.stop(thread)
        assert_complete(await read(reader))
        assert not await runner.is_running(thread)

        # An agent that does everything right, and so can follow on a bare RUN_ERROR.
        after = UnrulyAgent([(False, started("r2")), (False, finished("r2"))])
        events = await read(await runner.run(request_for(after, "r2", modern=modern)))
        assert types_of(events) == ["RUN_STARTED", "RUN_FINISHED"]
        for as_is in (False, True):
            assert_complete(await read(await runner.connect(thread, modern=as_is)))


@given(
    items=st.lists(
        st.tuples(st.just(False), strategies.proper_events)
        | st.tuples(st.just(False), strategies.broken_events())
        | st.tuples(st.just(True), acts),
        max_size=20,
    ),
    starts=st.booleans(),
    modern=st.booleans(),
    stop_after=st.integers(0, 40),
)
def test_unruly_agent(items, starts, modern, stop_after):
    """Junk events, exceptions of all kinds, deaf ears: the stream is proper and has an end."""
    if starts:
        items = [(False, started("r1")), *items]

    agent = UnrulyAgent(items)
    asyncio.run(assert_survives(InMemoryRunner(), agent, modern=modern, stop_after=stop_after))


@given(items=strategies.agent_output(), modern=st.booleans())
def test_junk_events(items, modern):
    """Events that nearly fit, to the end of the agent: what is open is closed."""
    agent = UnrulyAgent([(False, item) for item in items])

    asyncio.run(assert_survives(InMemoryRunner(), agent, modern=modern, stop_after=None))


@given(what=st.sampled_from([None, 1, "raise", [], [{"type": "RUN_STARTED"}], object(), iter([])]))
def test_no_agent(what):
    """What is no agent at all fails like one."""
    agent = NoAgent(what)

    asyncio.run(assert_survives(InMemoryRunner(), agent, modern=False, stop_after=None))
