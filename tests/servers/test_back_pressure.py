"""Clients that do not read: what they are to be sent does not pile up in the server."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest

from tests.servers.http import (
    LINE_LIMIT,
    PATIENCE,
    Answer,
    Connection,
    connect,
    request,
    run_input,
)
from tests.servers.streams import assert_complete

MIB = 1024 * 1024

#: A run of 24 MiB, in events that are large by themselves.
COUNT, SIZE = 96, 256 * 1024
READERS = 8
#: What all readers together would have waiting, were it not held back.
UNREAD = READERS * COUNT * SIZE


class Stalled(Connection):
    """A client with a small window that reads only when it is told to."""

    @classmethod
    async def open(cls, port: int) -> Stalled:
        here = socket.socket()
        here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        here.setblocking(False)
        await asyncio.get_running_loop().sock_connect(here, ("127.0.0.1", port))
        # The stream's reader stops reading from the socket when it holds twice this much.
        return cls(*await asyncio.open_connection(sock=here, limit=LINE_LIMIT))


async def run_to_its_end(port: int, thread: str, size: int = SIZE) -> int:
    """A run of many events; how many bytes it sends."""
    async with connect(port) as connection:
        body = run_input(thread, count=COUNT, size=size)
        answer = await connection.post("/api/copilotkit/agent/large/run", body)
        async with asyncio.timeout(PATIENCE):
            return len(await answer.body())


async def open_gate(port: int, thread: str) -> None:
    async with connect(port) as connection:
        await connection.send(request("GET", f"/gate/{thread}/1"))
        assert (await connection.answer()).status == 200


async def stalled(stack: AsyncExitStack, port: int, thread: str) -> Answer:
    """A reader of a thread that has got the head of its answer, and reads no more for now."""
    connection = await Stalled.open(port)
    stack.push_async_callback(connection.close)
    return await connection.post("/api/copilotkit/agent/large/connect", run_input(thread))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("is_live", [True, False])
async def test_stalled_readers(server, is_live):
    """They cost the server a few buffers each, not all they have not read; and lose nothing.

    A live run is sent as it was, one that has ended as one event of its whole size.
    """
    thread = f"stalled-{is_live}"
    async with AsyncExitStack() as stack:
        if is_live:
            connection = await stack.enter_async_context(connect(server.port))
            body = run_input(thread, count=COUNT, size=SIZE, gate=1)
            running = await connection.post("/api/copilotkit/agent/large/run", body)
            frames = running.frames()
            async with asyncio.timeout(PATIENCE):
                for _ in range(COUNT + 2):
                    await anext(frames)
        else:
            assert await run_to_its_end(server.port, thread) > COUNT * SIZE
        before = server.memory()
        answers = [await stalled(stack, server.port, thread) for _ in range(READERS)]
        # Whoever reads meanwhile is served, which takes the loop through many turns.
        for number in range(3):
            await run_to_its_end(server.port, f"{thread}-{number}", size=1)
        grown = server.memory() - before

        await open_gate(server.port, thread)
        for answer in answers:
            async with asyncio.timeout(PATIENCE):
                events = [event async for event in answer.events()]
            assert_complete(events)
            assert sum(len(event.get("delta", "")) for event in events) == COUNT * SIZE

    print(f"{server.name}: {grown / MIB:.0f} MiB for {READERS} readers, {UNREAD / MIB:.0f} unread")
    assert grown < UNREAD / 3
    assert "Traceback" not in server.output()
    assert "Producer was not unregistered" not in server.output()


@pytest.mark.timeout(240)
async def test_stalled_reader__leaves(daphne):
    """One that goes away while it is waited for leaves nothing behind."""
    await run_to_its_end(daphne.port, "unread-then-left")
    connection = await Stalled.open(daphne.port)
    await connection.post("/api/copilotkit/agent/large/connect", run_input("unread-then-left"))

    connection.abort()

    assert await run_to_its_end(daphne.port, "after") > COUNT * SIZE
    assert "Traceback" not in daphne.output()


@pytest.mark.timeout(240)
async def test_stalled_reader__of_a_live_run(daphne):
    """A run does not wait for a reader of it: others have its end."""
    connection = await Stalled.open(daphne.port)
    body = run_input("live", count=COUNT, size=SIZE)
    answer = await connection.post("/api/copilotkit/agent/large/run", body)

    async with connect(daphne.port) as other:
        following = await other.post("/api/copilotkit/agent/large/connect", run_input("live"))
        async with asyncio.timeout(PATIENCE):
            events = [event async for event in following.events()]
    assert events[-1]["type"] == "RUN_FINISHED"

    async with asyncio.timeout(PATIENCE):
        assert len([frame async for frame in answer.frames()]) == COUNT + 4
    await connection.close()


@pytest.mark.timeout(240)
async def test_answers__one_after_the_other(daphne):
    """A connection goes on after a stream, and after an answer that is none."""
    async with connect(daphne.port) as connection:
        for number in range(3):
            body = run_input(f"kept-{number}", count=2, size=1)
            answer = await connection.post("/api/copilotkit/agent/large/run", body)
            assert (await answer.body()).count(b"data: ") == 6
            answer = await connection.post("/api/copilotkit/agent/large/stop/x", {})
            assert (await answer.json())["stopped"] is False
