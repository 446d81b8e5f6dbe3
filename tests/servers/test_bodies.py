"""Bodies that are too large, too slow, or just large."""

import asyncio
import time

import pytest

from tests.servers.http import PATIENCE, Answer, connect, request, run_input
from tests.servers.streams import assert_complete

SMALL = "/api/small/agent/default/run"
HASTY = "/api/hasty/agent/default/run"
MEGABYTE = 1024 * 1024


async def assert_too_large(answer: Answer) -> None:
    assert answer.status == 413
    assert (await answer.json()) == {
        "error": "body_too_large",
        "message": f"The body is larger than {MEGABYTE} bytes.",
    }


class TestTooLarge:
    async def test_declared(self, uvicorn):
        """A length that is too large is refused before any of the body has come."""
        async with connect(uvicorn.port) as connection:
            length = str(10 * 1024 * MEGABYTE)
            await connection.send(request("POST", SMALL, None, content_length=length))
            async with asyncio.timeout(PATIENCE):
                await assert_too_large(await connection.answer())
                assert await connection.is_closed()

    @pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
    async def test_sent_all_the_same(self, uvicorn, declared):
        """A client that goes on sending, as browsers do, gets the answer and not a reset."""
        piece = b" " * 0x10000
        framing = {"transfer_encoding": "chunked"}
        if declared:
            framing = {"content_length": str(8 * MEGABYTE)}
        else:
            piece = b"10000\r\n%s\r\n" % piece
        async with connect(uvicorn.port) as connection:
            await connection.send(request("POST", SMALL, None, **framing))
            for _ in range(8 * MEGABYTE // 0x10000):
                await connection.send(piece)
            async with asyncio.timeout(PATIENCE):
                await assert_too_large(await connection.answer())

    @pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
    async def test_read_by_the_server(self, daphne, chunked):
        """Daphne hands a body over when it has all of it; it is refused then."""
        body = b" " * (MEGABYTE + 1)
        async with connect(daphne.port) as connection:
            if chunked:
                await connection.send(request("POST", SMALL, None, transfer_encoding="chunked"))
                await connection.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            else:
                await connection.send(request("POST", SMALL, body))
            async with asyncio.timeout(PATIENCE):
                await assert_too_large(await connection.answer())

    async def test_next_request(self, server):
        """The server answers others after that as before."""
        async with connect(server.port) as connection:
            answer = await connection.post(SMALL, run_input("after"))
            assert answer.status == 200
            assert_complete([event async for event in answer.events()])


class TestTooSlow:
    async def test_a_byte_per_second(self, uvicorn):
        """A body that trickles in is given up, with an answer, and so is its connection."""
        async with connect(uvicorn.port) as connection:
            begin = time.monotonic()
            await connection.send(request("POST", HASTY, None, content_length="1000"))
            answering = asyncio.create_task(connection.answer())
            while not answering.done() and time.monotonic() - begin < PATIENCE:
                await connection.send(b" ")
                await asyncio.wait({answering}, timeout=1)
            answer = await answering

            assert answer.status == 408
            assert (await answer.json())["error"] == "body_timeout"
            async with asyncio.timeout(PATIENCE):
                assert await connection.is_closed()

    async def test_in_time(self, uvicorn):
        """The time runs for the body only: a run may take longer."""
        async with connect(uvicorn.port) as connection:
            body = run_input("in-time", seconds=3)
            answer = await connection.post("/api/hasty/agent/silent/run", body)
            async with asyncio.timeout(PATIENCE):
                events = [event async for event in answer.events()]
        assert_complete(events)
        assert events[-1]["type"] == "RUN_FINISHED"


async def test_attachment(server):
    """A photograph of 20 MiB passes under the default settings."""
    body = run_input("photograph")
    data = "QUJD" * (20 * MEGABYTE // 3)
    source = {"type": "data", "value": data, "mimeType": "image/png"}
    body["messages"][0]["content"] = [{"type": "image", "source": source}]

    async with connect(server.port) as connection:
        answer = await connection.post("/api/copilotkit/agent/silent/run", body)
        assert answer.status == 200
        async with asyncio.timeout(PATIENCE):
            events = [event async for event in answer.events()]

    assert [event["type"] for event in events] == ["RUN_STARTED", "RUN_FINISHED"]
    [message] = events[0]["input"]["messages"]
    assert message["content"][0]["source"]["value"] == data
