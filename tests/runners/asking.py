"""What the tests of runners ask of them, in their own words."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from copilotkit_django.runners import AgentRunner, RunPolicy, RunRequest, ThreadRef
from tests.acting import Event, Parrot
from tests.talk import within
from tests.unit.runners.requests import GRACE, request_for

#: For runs of tens of thousands of events, on a machine that has other things to do.
LONG = 30.0

SUPERSEDE = RunPolicy(supersede=True, stop_grace=GRACE, idle=None)

__all__ = ["GRACE", "LONG", "SUPERSEDE", "request_for"]


def thread(thread_id: str = "t1", scope: str = "user:1") -> ThreadRef:
    return ThreadRef(scope, thread_id)


def for_agent(request: RunRequest, agent_id: str) -> RunRequest:
    return dataclasses.replace(request, agent_id=agent_id)


async def collect(reader: AsyncIterator[list[bytes]]) -> list[Event]:
    """All events of a run to its end, however much a test does in the middle of it."""
    return [json.loads(event) for event in await everything(reader)]


async def run(runner: AgentRunner, agent: Any = None, text: str = "hi", **options: Any) -> Any:
    """A whole run, and everything it sent."""
    return await collect(await runner.run(request_for(agent or Parrot(), text, **options)))


async def start(runner: AgentRunner, agent: Any, **options: Any) -> asyncio.Task[list[Event]]:
    """A run on its way, and a task that reads it to its end."""
    return asyncio.create_task(collect(await runner.run(request_for(agent, **options))))


async def history(
    runner: AgentRunner, thread_id: str = "t1", scope: str = "user:1", **options: Any
) -> list[Event]:
    return await collect(await runner.connect(thread(thread_id, scope), **options))


async def follow(runner: AgentRunner, **options: Any) -> asyncio.Task[list[Event]]:
    """A reader that has got the first events of a live run, as a task that reads it to its end."""
    reader = await runner.connect(thread(), **options)
    first = await within(anext(reader))
    return asyncio.create_task(collect(_after(first, reader)))


async def _after(first: list[bytes], rest: AsyncIterator[list[bytes]]) -> Any:
    yield first
    async for batch in rest:
        yield batch


async def stored(runner: AgentRunner, thread_id: str = "t1", scope: str = "user:1") -> list[Event]:
    """What the `/threads` routes know of a thread."""
    return await collect(await runner.threads.events(thread(thread_id, scope)))


async def until_said(runner: AgentRunner, text: str = "par", thread_id: str = "t1") -> None:
    """Return once a reader of the live run has been sent some text."""
    reader = await runner.connect(thread(thread_id))
    async with asyncio.timeout(5):
        async for batch in reader:
            if any(text in str(event) for event in batch):
                break
    await reader.aclose()


async def freed(runner: AgentRunner, thread_id: str = "t1") -> None:
    """Return once no run holds the thread."""
    async with asyncio.timeout(5):
        while await runner.is_running(thread(thread_id)):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)


def runs_in(events: Iterable[Event]) -> list[str]:
    return [event["runId"] for event in events if event["type"] == "RUN_STARTED"]


def said(events: Iterable[Event]) -> list[Any]:
    """What the user said in each run, as echoed."""
    return [
        [message["content"] for message in event["input"]["messages"]]
        for event in events
        if event["type"] == "RUN_STARTED"
    ]


async def everything(reader: AsyncIterator[list[bytes]], seconds: float = LONG) -> list[bytes]:
    """All events of a long run as they were sent, to its end."""

    async def read() -> list[bytes]:
        return [event async for batch in reader for event in batch]

    return await within(read(), seconds)
