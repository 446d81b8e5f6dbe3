"""Whatever is sent, the answer is one of those there are, and the server lives.

FUZZ scales the number of requests, 10,000 at FUZZ=1. FUZZ_SEED repeats a round, and with FUZZ_ONLY
one request of it, by its number.
"""

from __future__ import annotations

import asyncio
import os
import random
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.fuzz import oracle
from tests.fuzz.generate import Request, generate
from tests.servers.http import PATIENCE, BrokenAnswer, Connection, connect, run_input
from tests.servers.process import ServerProcess
from tests.servers.streams import assert_complete

SCALE = float(os.environ.get("FUZZ", "0.02"))
REQUESTS = {"uvicorn": 10_000, "daphne": 2_500}
SENDERS = 6

#: Enough to see a pattern.
MOST_FAILURES = 25


def seed() -> int:
    """The seed of this round: always the same on CI."""
    if "FUZZ_SEED" in os.environ:
        return int(os.environ["FUZZ_SEED"])
    return 1 if "CI" in os.environ else random.SystemRandom().randrange(1_000_000)


class Sender:
    """Sends one request after the other, on one connection as long as that lasts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None

    async def send(self, request: Request) -> str:
        """Send the request, check the answer, and return what it was."""
        async with asyncio.timeout(PATIENCE):
            if request.leave_after is not None:
                return await self._leave(request)
            try:
                return await self._exchange(request)
            except BrokenAnswer:
                # The connection may have been given up by the server meanwhile; a new one is not.
                await self.close()
                return await self._exchange(request)

    async def _exchange(self, request: Request) -> str:
        if self._connection is None:
            self._connection = await Connection.open(self._port)
        # Refused before it was read: the answer says why.
        with suppress(ConnectionError):
            await self._connection.send(request.encode())
        answer = await self._connection.answer(to=request.method)
        try:
            body = await answer.body()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            await self.close()
            raise oracle.Unexpected(f"the answer breaks off: {error!r}") from error
        if answer.closes:
            await self.close()
        if answer.headers.get("content-encoding") == "gzip":
            body = zlib.decompress(body, 16 + zlib.MAX_WBITS)
        oracle.check(request, answer, body)
        return f"{request.kind} {answer.status}"

    async def _leave(self, request: Request) -> str:
        async with connect(self._port) as connection:
            await connection.send(request.encode())
            connection.abort()
        return "left"

    async def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()


async def send_all(port: int, requests: Iterator[Request]) -> tuple[Counter[str], list[str]]:
    """Send the requests, a few at a time; return the answers by kind, and the failures."""
    answers: Counter[str] = Counter()
    failures: list[str] = []

    async def send_some() -> None:
        sender = Sender(port)
        try:
            for request in requests:
                try:
                    answers[await sender.send(request)] += 1
                except (AssertionError, TimeoutError, OSError) as error:
                    await sender.close()
                    sent = request.encode()
                    failures.append(
                        f"request {request.number} ({request.kind}): {error or repr(error)}\n"
                        f"    {len(sent)} bytes: {sent[:1500]!r}"
                    )
                if len(failures) >= MOST_FAILURES:
                    return
        finally:
            await sender.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(send_some())
    return answers, failures


def numbers(count: int) -> Iterator[int]:
    if "FUZZ_ONLY" in os.environ:
        return iter([int(os.environ["FUZZ_ONLY"])])
    return iter(range(count))


async def assert_serves(server: ServerProcess) -> None:
    """The server is alive and does what it is for."""
    assert server.is_running
    async with connect(server.port) as connection:
        body = run_input("after-everything")
        answer = await connection.post("/api/copilotkit/agent/default/run", body)
        assert answer.status == 200
        async with asyncio.timeout(PATIENCE):
            events = [event async for event in answer.events()]
    assert_complete(events)
    assert events[-1]["type"] == "RUN_FINISHED"


@pytest.mark.timeout(300 + 1800 * SCALE)
@pytest.mark.parametrize("name", ["uvicorn", "daphne"])
async def test_requests(start, name):
    """No request gets an answer that is documented nowhere, or leaves the server worse."""
    server = await asyncio.to_thread(start(name).wait_until_ready)
    this = seed()
    count = max(1, round(REQUESTS[name] * SCALE))
    print(f"FUZZ_SEED={this}, {count} requests to {name}")

    requests = (generate(this, number) for number in numbers(count))
    answers, failures = await send_all(server.port, requests)

    print(", ".join(f"{kind}: {times}" for kind, times in sorted(answers.items())))
    assert not failures, "\n".join([f"FUZZ_SEED={this}", *failures])
    await assert_serves(server)
    assert "Traceback" not in server.output()
    server.kill()
