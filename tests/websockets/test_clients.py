"""The clients of the connect socket, over a real server."""

from __future__ import annotations

import asyncio

import pytest

from copilotkit_django.consumers import window
from copilotkit_django.testing import WebsocketClient
from tests import services
from tests.integration.site import Caller
from tests.talk import run_input, within

from . import packages
from .serving import served, url

SOCKET = "/ws/copilotkit/agent/default/connect/"

#: For machines that are busy with something else.
SECONDS = 30.0


async def with_python(port: int, times: int, how: str) -> int:
    """Follow a thread so often over one socket."""
    address = url(port, SOCKET, "ws")
    async with WebsocketClient(address, headers={"x-user": "alice"}) as client:
        for _ in range(times):
            async for _ in client.connect("t1"):
                if how == "left":
                    break
    return times


async def with_javascript(port: int, times: int, how: str) -> int:
    """The same with connect.js, in Node."""
    process = await asyncio.create_subprocess_exec(
        *(services.require("node"), "follow.mjs", url(port, SOCKET, "ws")),
        *("alice", "t1", str(times), how),
        cwd=packages.HERE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return int(said)


@pytest.fixture(params=["python", "javascript"])
def follow(request):
    if request.param == "python":
        return with_python
    packages.install()
    services.require("websocket-clients")
    return with_javascript


@pytest.mark.parametrize("how", ["whole", "left"])
async def test_acknowledge__many_short_commands(site, follow, monkeypatch, how):
    """What each command leaves over never adds up to all that the server sends ahead."""
    monkeypatch.setattr(window, "MAX_FRAMES", 20)
    async with served(site()) as port:
        await Caller(headers={"x-user": "alice"}).run(run_input(thread="t1"))

        assert await within(follow(port, 30, how), SECONDS) == 30
