"""Websocket clients that are cut off anywhere, and come back to whichever server there is."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from copilotkit_django.testing import WebsocketClient
from tests import services
from tests.chaos.cutting import Line
from tests.chaos.streams import Event, assert_proper, run_body, text_of, tokens
from tests.websockets import packages

SOCKET = "ws://127.0.0.1:{port}/ws/copilotkit/agent/default/connect/"

#: What a run says, a token each so many milliseconds.
TOKENS, EVERY_MS = 400, 5

#: A client is left alone after so many cuts: on a slow machine it gets nowhere in between.
CUTS = 12

#: For machines that are busy with something else.
PATIENCE = 120

Runner = Callable[[int, str], Awaitable[list[Event]]]


async def with_python(port: int, thread: str) -> list[Event]:
    """Run once with the client in Python."""
    url = SOCKET.format(port=port)
    async with WebsocketClient(url, first_pause=0.01) as client:
        body = run_body(thread, "run", f"slow:{TOKENS}:{EVERY_MS}")
        return [event async for event in client.run(body)]


async def with_javascript(port: int, thread: str) -> list[Event]:
    """Run once with connect.js, in Node."""
    process = await asyncio.create_subprocess_exec(
        services.require("node"),
        "run.mjs",
        SOCKET.format(port=port),
        json.dumps(run_body(thread, "run", f"slow:{TOKENS}:{EVERY_MS}")),
        cwd=packages.HERE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return json.loads(said)


@pytest.fixture
def javascript() -> Runner:
    packages.install()
    services.require("websocket-clients")
    return with_javascript


@pytest.mark.parametrize("client", ["python", "javascript"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_cut_sockets(kind, client, make_store, servers, rounds, figures, request):
    """Whatever is cut whenever, the client has every event of its run once, and in order."""
    run: Runner = with_python if client == "python" else request.getfixturevalue("javascript")
    store = make_store(kind)
    both = await servers.start("uvicorn", "daphne", url=store.url)
    ports = [server.port for server in both]
    total, cuts, opened = rounds(20, 1), 0, 0
    for number in range(total):
        async with Line(ports[0]) as line, _cut_now_and_then(line, ports):
            events = await asyncio.wait_for(run(line.port, f"thread-{number}"), PATIENCE)
        cuts, opened = cuts + line.cuts, opened + line.opened
        assert_proper(events)
        assert text_of(events) == tokens(TOKENS)
        assert events[-1]["type"] == "RUN_FINISHED"
    assert cuts >= total, "nothing was cut"
    figures(rounds=total, cuts=cuts, connections=opened)


class _cut_now_and_then:
    """Cut a line several times a second, and lay it to one server or the other."""

    def __init__(self, line: Line, ports: list[int]) -> None:
        self._line, self._ports = line, ports

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._cut())

    async def __aexit__(self, *_: Any) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _cut(self) -> None:
        while self._line.cuts < CUTS:
            await asyncio.sleep(random.uniform(0.1, 0.6))
            self._line.to = random.choice(self._ports)
            self._line.cut()


async def test_killed_server(make_store, servers, figures):
    """A run whose server dies is told its end by another one, to a client that has come there."""
    store = make_store("postgres")
    owner, other = await servers.start("uvicorn", "uvicorn", url=store.url, lease=4.0)
    async with Line(owner.port) as line:
        events: list[Event] = []
        async with WebsocketClient(SOCKET.format(port=line.port), first_pause=0.01) as client:
            run = client.run(run_body("killed", "run", "slow:2000:5"))
            reading = aiter(run)
            while text_of(events).count("tok") < 20:
                events.append(await anext(reading))
            owner.kill()
            line.to = other.port
            line.cut()
            events += [event async for event in _rest(reading)]
        assert client.connections >= 2
    assert_proper(events)
    assert events[-1]["type"] == "RUN_ERROR"
    figures(events=len(events), connections=client.connections)


async def _rest(reading: AsyncIterator[Event]) -> AsyncIterator[Event]:
    async with asyncio.timeout(PATIENCE):
        async for event in reading:
            yield event
