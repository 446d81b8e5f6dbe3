"""Many streams at once on one process, and what they hold."""

import asyncio

import pytest

from copilotkit_django.workers import WORKERS
from tests.servers.http import PATIENCE, connect, request, run_input
from tests.servers.streams import assert_complete

STREAMS = 200

#: Those of requests and of runs, the main one, and a few for the server and the interpreter.
MOST_THREADS = 2 * WORKERS + 16


@pytest.mark.parametrize("name", ["uvicorn", "daphne"])
async def test_many_streams(start, name):
    """Two hundred streams all come to their end, on a bounded number of threads."""
    server = await asyncio.to_thread(start(name).wait_until_ready)
    open_now = 0
    all_open = asyncio.Event()

    async def follow(number: int):
        nonlocal open_now
        async with connect(server.port) as connection:
            body = run_input(f"many-{number}", count=3)
            answer = await connection.post("/api/copilotkit/agent/gated/run", body)
            assert answer.status == 200
            events = []
            async for event in answer.events():
                if not events:
                    open_now += 1
                    if open_now == STREAMS:
                        all_open.set()
                events.append(event)
            return events

    async with asyncio.timeout(1.5 * PATIENCE):
        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(follow(number)) for number in range(STREAMS)]
            await all_open.wait()
            assert server.threads() <= MOST_THREADS
            async with connect(server.port) as connection:
                for number in range(STREAMS):
                    await connection.send(request("GET", f"/gate/many-{number}/3"))
                    await (await connection.answer()).body()

    for stream in streams:
        assert_complete(stream.result())
        assert stream.result()[-1]["type"] == "RUN_FINISHED"
    server.kill()
