"""The feed behind ``cpk-debug-events``: every event of every run and connect, as it is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import orjson

from copilotkit_django.events.wire import decode
from copilotkit_django.runners.log import Batch

#: A listener that falls further behind loses the oldest events.
BACKLOG = 10_000


class DebugFeed:
    """Hands copies of what readers are sent to whoever listens."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[bytes]] = set()

    async def listen(self, idle: float | None) -> AsyncIterator[Batch]:
        """Envelopes ``{"timestamp", "agentId", "threadId", "runId", "event"}`` from now on."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(BACKLOG)
        self._listeners.add(queue)
        try:
            while True:
                try:
                    async with asyncio.timeout(idle):
                        batch = Batch([await queue.get()])
                except TimeoutError:
                    yield Batch()
                    continue
                while not queue.empty():
                    batch.append(queue.get_nowait())
                yield batch
        finally:
            self._listeners.discard(queue)

    async def overhear(
        self, batches: AsyncIterator[Batch], agent_id: str, thread_id: str, run_id: str
    ) -> AsyncIterator[Batch]:
        """The same batches, shown to the listeners as they pass.

        A history holds the events of many runs: each goes by the ids of the run it is of, and by
        those given here before any run has started.
        """
        ids = {"agentId": agent_id, "threadId": thread_id, "runId": run_id}
        async with aclosing(batches) as reader:  # type: ignore[type-var]
            async for batch in reader:
                if batch and self._listeners:
                    self._publish(batch, ids)
                yield batch

    def _publish(self, batch: Batch, ids: dict[str, str]) -> None:
        moment = {"timestamp": int(time.time() * 1000)}
        head = orjson.dumps(moment | ids)
        for event in batch:
            if b'"RUN_STARTED"' in event and (start := decode(event))["type"] == "RUN_STARTED":
                ids |= {"threadId": start["threadId"], "runId": start["runId"]}
                head = orjson.dumps(moment | ids)
            envelope = head[:-1] + b',"event":' + event + b"}"
            for queue in self._listeners:
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(envelope)
