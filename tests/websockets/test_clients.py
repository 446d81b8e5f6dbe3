"""The clients of the connect socket, over a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.http import JsonResponse

from copilotkit_django.agents import FunctionAgent
from copilotkit_django.consumers import window
from copilotkit_django.runners.database import DatabaseRunner
from copilotkit_django.testing import WebsocketClient, WebsocketError
from tests import services
from tests.acting import Staged, ending, opening
from tests.chaos.cutting import Line
from tests.integration.site import Caller, first_event
from tests.talk import Event, kinds, run_input, text_of, within

from . import packages
from .serving import served, url

SOCKET = "/ws/copilotkit/agent/default/connect/"

#: For machines that are busy with something else.
SECONDS = 30.0


class Python:
    """The client in Python."""

    async def follow(self, port: int, times: int, how: str) -> int:
        """Follow a thread so often over one socket: its whole history, or to the first event."""
        address = url(port, SOCKET, "ws")
        async with WebsocketClient(address, headers={"x-user": "alice"}) as client:
            for _ in range(times):
                async for _ in client.connect("t1"):
                    if how == "left":
                        break
        return times

    async def run(self, port: int) -> AsyncIterator[Event]:
        """The events of a run, as they come."""
        async with WebsocketClient(url(port, SOCKET, "ws"), first_pause=0.01) as client:
            async for event in client.run(run_input()):
                yield event


class Javascript:
    """connect.js, in Node."""

    async def follow(self, port: int, times: int, how: str) -> int:
        address = url(port, SOCKET, "ws")
        async with _node("follow.mjs", address, "alice", "t1", str(times), how) as said:
            return int(await said.read())

    async def run(self, port: int) -> AsyncIterator[Event]:
        address = url(port, SOCKET, "ws")
        async with _node("streamed.mjs", address, json.dumps(run_input())) as said:
            async for line in said:
                yield json.loads(line)


@asynccontextmanager
async def _node(*command: str) -> AsyncIterator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        services.require("node"), *command, cwd=packages.HERE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture(params=[Python, Javascript])
def client(request) -> Any:
    if request.param is Javascript:
        packages.install()
        services.require("websocket-clients")
    return request.param()


@pytest.mark.parametrize("how", ["whole", "left"])
async def test_acknowledge__many_short_commands(site, client, monkeypatch, how):
    """What each command leaves over never adds up to all that the server sends ahead."""
    monkeypatch.setattr(window, "MAX_FRAMES", 20)
    async with served(site()) as port:
        await Caller(headers={"x-user": "alice"}).run(run_input(thread="t1"))

        assert await within(client.follow(port, 30, how), SECONDS) == 30


@pytest.mark.django_db(transaction=True)
async def test_resume__thread_that_has_gone_on(site, client):
    """A run that is resumed is over when it is, whatever its thread does meanwhile."""
    first, second = Staged(), Staged()
    agents = {"default": first, "other": second}
    application = site(agents=agents, runner=DatabaseRunner(), authentication="anonymous-shared")
    async with served(application) as port, Line(port) as line:
        coming = client.run(line.port)
        events = [await within(anext(coming), SECONDS)]
        line.to = 1
        line.cut()
        first.cue.set()
        await Caller().connect(run_input(messages=[]))
        live = await Caller().open("POST", "/agent/other/run", run_input(run="r2"))
        await first_event(live)
        line.to = port

        events += await within(_rest(coming), SECONDS)

        assert kinds(events)[-1] == "RUN_FINISHED"
        assert {event.get("runId", "r1") for event in events} == {"r1"}
        assert text_of(events) == "par"
        second.cue.set()


async def _rest(coming: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in coming]


async def test_run__of_several_parts(site, client):
    """A run that ends and begins again, as the protocol lets it, is heard to its end."""

    async def twice(context):
        for part in ("one", "two"):
            for event in (*opening(context, part), *ending(context)):
                yield event

    application = site(agents={"default": FunctionAgent(twice)}, authentication="anonymous-shared")
    async with served(application) as port:
        events = await within(_rest(client.run(port)), SECONDS)

    assert text_of(events) == "onetwo"


@pytest.mark.parametrize("body", [["closed"], None, "closed"])
async def test_refusal__of_any_form(site, body):
    """What a project refuses a command with may be any JSON."""

    def refuse(request, route):
        if route.method == "agent/run":
            return JsonResponse(body, safe=False, status=403)
        return None

    application = site(hooks={"on_before_handler": refuse}, authentication="anonymous-shared")
    async with served(application) as port:
        with pytest.raises(WebsocketError) as refused:
            await within(_rest(Python().run(port)), SECONDS)

    assert (refused.value.status, refused.value.body) == (403, body)
