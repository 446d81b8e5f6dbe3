"""The published `phoenix` client on the socket of live thread lists, over a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from copilotkit_django import realtime
from copilotkit_django.operations.call import Call
from tests import services
from tests.integration.site import Caller
from tests.talk import run_input, within

from . import packages
from .phoenix import watched
from .serving import served, url

pytestmark = pytest.mark.django_db(transaction=True)

#: For machines that are busy with something else.
SECONDS = 60.0


class Client:
    """The client in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.heard: list[Any] = []

    async def until(self, kind: str) -> Any:
        """The next thing of a kind that happens, whatever happens before it."""
        assert self._process.stdout is not None
        while True:
            line = await within(self._process.stdout.readline(), SECONDS)
            assert line, f"the client ended: {self.heard}"
            self.heard.append(json.loads(line))
            if self.heard[-1][0] == kind:
                return self.heard[-1][-1]

    def tell(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n".encode())


@pytest.fixture
def phoenix():
    packages.install()
    services.require("websocket-clients")
    node = services.require("node")

    @asynccontextmanager
    async def phoenix(port: int, token: str, topic: str, **options: int) -> AsyncIterator[Client]:
        process = await asyncio.create_subprocess_exec(
            *(node, "phoenix.mjs", url(port, "/ws/copilotkit/realtime", "ws"), token, topic),
            *map(str, options.values()),
            cwd=packages.HERE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield Client(process)
        finally:
            process.kill()
            # Closes its pipes, too.
            await process.communicate()

    return phoenix


async def token_of(application: Any, scope: str) -> tuple[str, str]:
    """The token and the topic of a scope, as its owner is given them."""
    request = type("Request", (), {"COOKIES": {}})()
    call = Call(endpoint=application.runtime.endpoint, scope=scope, request=request)
    return await realtime.join_token(call), f"user_meta:{realtime.join_code(scope)}"


async def test_phoenix__joins_and_hears(site, phoenix):
    """It joins, its heartbeats are answered, it hears of a run, and leaves."""
    application = site()
    token, topic = await token_of(application, "user:alice")
    async with (
        served(application) as port,
        phoenix(port, token, topic, heartbeat_ms=3000) as client,
    ):
        assert await client.until("joined") == {}
        await watched(application, token)
        assert await client.until("heartbeat") == "ok"

        await Caller(headers={"x-user": "alice"}).run(run_input())

        assert (await client.until("thread_metadata"))["operation"] == "created"
        assert (await client.until("thread_run_activity"))["runId"] == "r1"
        client.tell("leave")
        await client.until("left")


async def test_phoenix__rejoins_by_itself(site, phoenix):
    """Its connection cut, it comes back, joins again and hears what it has missed."""
    application = site()
    token, topic = await token_of(application, "user:alice")
    async with served(application) as port, phoenix(port, token, topic) as client:
        await client.until("joined")
        client.tell("drop")
        await client.until("close")
        await Caller(headers={"x-user": "alice"}).run(run_input(thread="missed"))

        assert (await client.until("thread_metadata"))["threadId"] == "missed"


@pytest.mark.parametrize("age", [0, 13 * 3600], ids=["wrong", "expired"])
async def test_phoenix__with_a_bad_token(site, phoenix, monkeypatch, age):
    """A wrong or an expired token is refused with the handshake, again and again."""
    application = site()
    token, topic = "made up", "user_meta:x"
    if age:
        now = realtime.time.time()
        with monkeypatch.context() as patch:
            patch.setattr(realtime.time, "time", lambda: now - age)
            token, topic = await token_of(application, "user:alice")
    async with served(application) as port, phoenix(port, token, topic) as client:
        for _ in range(3):
            assert "403" in await client.until("error")
        assert not any(heard[0] in ("open", "joined") for heard in client.heard)


async def test_phoenix__with_a_foreign_token(site, phoenix):
    """With a token of its own it cannot join the topic of somebody else."""
    application = site()
    token, _ = await token_of(application, "user:bob")
    _, topic = await token_of(application, "user:alice")
    async with served(application) as port, phoenix(port, token, topic) as client:
        assert await client.until("refused") == {"reason": "unauthorized"}
