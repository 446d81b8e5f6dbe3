"""What clients of the servers see, and what they may expect of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from copilotkit_django.events import wire
from copilotkit_django.events.order import RunOrder
from tests.chaos.servers import ChaosServer
from tests.servers.http import BrokenAnswer, Connection

Event = dict[str, Any]

TERMINAL = ("RUN_FINISHED", "RUN_ERROR")

#: The longest any one stream of these tests is waited for.
STREAM_SECONDS = 120

#: A thread that is not free by then is wedged.
WEDGED_SECONDS = 30

PATH = "/api/copilotkit/agent/default"


@dataclass
class Seen:
    """What one request was answered, as far as it came."""

    #: When the request was sent.
    asked: float = field(default_factory=time.time)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    #: When each event came, in seconds since the epoch.
    times: list[float] = field(default_factory=list)
    #: A JSON answer, where it was no stream.
    answer: Any = None
    #: The server closed the connection in the middle.
    is_cut: bool = False
    #: The first event is there, or will never come.
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, event: Event) -> None:
        self.events.append(event)
        self.times.append(time.time())
        self.begun.set()
        self._changed.set()

    def end(self) -> None:
        self.begun.set()
        self._changed.set()

    async def until(self, holds: Callable[[Seen], bool], seconds: float = STREAM_SECONDS) -> None:
        """Wait for something to hold of what was seen."""
        async with asyncio.timeout(seconds):
            while not holds(self):
                self._changed.clear()
                await self._changed.wait()

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def text(self) -> str:
        return text_of(self.events)

    @property
    def is_busy(self) -> bool:
        return [event.get("code") for event in self.events] == ["THREAD_BUSY"]

    @property
    def code(self) -> str | None:
        """How it ended: the type of its last event, or the code of its error."""
        return None if not self.events else code_of(self.events[-1])


def text_of(events: Iterable[Event]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "TEXT_MESSAGE_CONTENT")


def code_of(event: Event) -> str:
    return event.get("code") or event["type"]


def run_body(thread: str, run: str, script: str) -> Event:
    """A run whose input holds nothing that history leaves out."""
    return {
        "threadId": thread,
        "runId": run,
        "messages": [{"id": f"{run}-question", "role": "user", "content": script}],
        "tools": [],
        "context": [],
        "state": {},
        "forwardedProps": {},
    }


class Talk:
    """Requests under way; what is still open at the end is dropped."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Seen]] = set()
        self._of: dict[int, asyncio.Task[Seen]] = {}

    def run(
        self, server: ChaosServer, thread: str, run: str, script: str, *, message: str = ""
    ) -> Seen:
        """Start a run; what comes is found in the answer as it comes.

        With a message of its own the script is told to the agent beside it.
        """
        body = run_body(thread, run, message or script)
        if message:
            body["forwardedProps"] = {"script": script}
        return self._begin(server, f"{PATH}/run", body)

    def follow(self, server: ChaosServer, thread: str) -> Seen:
        """Open a thread, as a page that is loaded does."""
        body = {**run_body(thread, "follower", ""), "messages": []}
        return self._begin(server, f"{PATH}/connect", body)

    def stop(self, server: ChaosServer, thread: str) -> Seen:
        return self._begin(server, f"{PATH}/stop/{thread}", {})

    def _begin(self, server: ChaosServer, path: str, body: Event) -> Seen:
        seen = Seen()
        task = asyncio.create_task(ask(server.port, path, body, seen))
        self._tasks.add(task)
        self._of[id(seen)] = task
        task.add_done_callback(self._tasks.discard)
        return seen

    async def end(self, *all_seen: Seen, seconds: float = STREAM_SECONDS) -> Sequence[Seen]:
        """Wait for the ends of some requests; each must end by itself."""
        tasks = [self._of[id(seen)] for seen in all_seen]
        done, late = await asyncio.wait(tasks, timeout=seconds)
        assert not late, f"{len(late)} of {len(tasks)} streams did not end in {seconds} s"
        for task in done:
            task.result()
        return all_seen

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def ask(port: int, path: str, body: Event, seen: Seen) -> Seen:
    """Post, and read the answer to its end."""
    connection = None
    try:
        connection = await Connection.open(port)
        answer = await connection.post(path, body)
        seen.status = answer.status
        seen.headers = dict(answer.headers)
        if answer.content_type != "text/event-stream":
            seen.answer = await answer.json()
            return seen
        async for event in answer.events():
            seen.take(event)
    except (ConnectionError, asyncio.IncompleteReadError, BrokenAnswer, ValueError):
        seen.is_cut = True
    finally:
        seen.end()
        if connection is not None:
            connection.abort()
    return seen


def assert_proper(events: Sequence[Event]) -> None:
    """Clients accept these events: valid, in order, each run with one end, the last one last."""
    order = RunOrder()
    for number, event in enumerate(events):
        wire.validate(event)
        if event["type"] == "RUN_STARTED" and order.finished:
            order = RunOrder()
        try:
            order.check(event)
        except ValueError as error:
            raise AssertionError(f"event {number}, {event}: {error}") from error
    assert events, "no events at all"
    assert order.finished, f"no end: {events[-1]}"


def by_run(events: Sequence[Event]) -> dict[str, list[Event]]:
    """The events of a history, run by run."""
    runs: dict[str, list[Event]] = {}
    current: list[Event] = []
    for event in events:
        if event["type"] == "RUN_STARTED":
            assert event["runId"] not in runs, "a run came twice"
            current = runs[event["runId"]] = []
        current.append(event)
    return runs


def tokens(count: int) -> str:
    """The text that `text` and `slow` say."""
    return "".join(f"tok{number} " for number in range(count))


def loads(events: Iterable[bytes]) -> list[Event]:
    """Stored events as clients see them."""
    return [wire.decode(event) for event in events]


def lateness_ms(seen: Seen) -> list[float]:
    """How late each delta of `stamp` came, which is the time it was due."""
    return [
        came * 1000 - float(event["delta"])
        for event, came in zip(seen.events, seen.times, strict=True)
        if event["type"] == "TEXT_MESSAGE_CONTENT"
    ]


async def free_at_last(
    talk: Talk, server: ChaosServer, thread: str, run: str, script: str = "text:3"
) -> tuple[Seen, int]:
    """Start a run as often as it takes, until it has begun; how often it was refused."""
    deadline = time.monotonic() + WEDGED_SECONDS
    refused = 0
    while time.monotonic() < deadline:
        seen = talk.run(server, thread, run, script)
        await seen.begun.wait()
        if seen.status == 200 and not seen.is_busy:
            return seen, refused
        refused += 1
        await asyncio.sleep(0.05)
    raise AssertionError(f"thread {thread} is wedged")


def quantile(values: Sequence[float], share: float) -> float:
    """In the unit of the values; 0 for none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0
