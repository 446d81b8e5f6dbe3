"""Whatever is sent, the answer is one of those there are, and the server lives.

FUZZ scales the number of requests, 20,000 at FUZZ=1. FUZZ_SEED repeats a round, and with FUZZ_ONLY
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

from copilotkit_django.routes import ENVELOPE_METHODS, PATTERNS
from tests.fuzz import oracle
from tests.fuzz.generate import METHODS, Request, generate
from tests.servers.http import PATIENCE, BrokenAnswer, Connection, connect, run_input
from tests.servers.process import ServerProcess
from tests.servers.streams import assert_complete
from tests.servers.test_database import Database

MEMORY = "copilotkit_django.runners.InMemoryRunner"
DATABASE = "copilotkit_django.runners.database.DatabaseRunner"

SCALE = float(os.environ.get("FUZZ", "0.02"))
#: By server and by where threads are kept, at FUZZ=1.
REQUESTS = {
    ("uvicorn", MEMORY): 8_000,
    ("uvicorn", DATABASE): 8_000,
    ("daphne", MEMORY): 2_000,
    ("daphne", DATABASE): 2_000,
}
SENDERS = 6

#: Where the numbers of each of them begin: no two send the same.
APART = 1_000_000

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


def numbers(where: tuple[str, str], scale: float) -> Iterator[int]:
    """The numbers of the requests one of them is sent."""
    if "FUZZ_ONLY" in os.environ:
        return iter([int(os.environ["FUZZ_ONLY"])])
    first = list(REQUESTS).index(where) * APART
    return iter(range(first, first + max(1, round(REQUESTS[where] * scale))))


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
@pytest.mark.parametrize(("name", "runner"), REQUESTS)
async def test_requests(start, tmp_path, name, runner):
    """No request gets an answer that is documented nowhere, or leaves the server worse."""
    database = Database(f"sqlite:{tmp_path / 'fuzzed.sqlite3'}", lambda server: 0)
    await asyncio.to_thread(database.prepare)
    environment = {"SERVED_DATABASE": database.address, "SERVED_RUNNER": runner}
    server = await asyncio.to_thread(start(name, **environment).wait_until_ready)
    this = seed()
    asked = list(numbers((name, runner), SCALE))
    print(f"FUZZ_SEED={this}, {len(asked)} requests to {name}, {runner}")

    answers, failures = await send_all(server.port, (generate(this, each) for each in asked))

    print(", ".join(f"{kind}: {times}" for kind, times in sorted(summed(answers).items())))
    assert not failures, "\n".join([f"FUZZ_SEED={this}", *failures])
    await assert_serves(server)
    assert "Traceback" not in server.output()
    server.kill()


def summed(answers: Counter[str]) -> Counter[str]:
    """The answers by what was asked for, those of the table of routes together."""
    by_kind: Counter[str] = Counter()
    for kind, times in answers.items():
        words = kind.split()
        by_kind[" ".join(dict.fromkeys([words[0], words[-1]]))] += times
    return by_kind


def test_requests__all_there_are():
    """What CI sends asks for every route with each method it takes and with one it does not, and
    for every method of the envelope."""
    asked: set[str] = set()
    envelopes: set[str] = set()
    for where in REQUESTS:
        for number in numbers(where, 0.1):
            request = generate(1, number)
            asked.add(" ".join(request.kind.split()[:3]))
            if request.kind == "envelope":
                envelopes |= {
                    name for name in ENVELOPE_METHODS if f'"{name}"'.encode() in request.body
                }

    assert envelopes == set(ENVELOPE_METHODS)
    for pattern in PATTERNS:
        path = "/".join(pattern.segments)
        methods = {method for method in METHODS if f"route {path} {method}" in asked}
        assert set(pattern.methods) <= methods, path
        assert methods - set(pattern.methods), path
        assert pattern.name in oracle.ROUTES
