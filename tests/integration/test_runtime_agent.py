"""Agents of another CopilotKit runtime: here one of ours, on a server of its own."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from django.core.handlers.asgi import ASGIHandler

from copilotkit_django import RuntimeAgent, agent
from tests.acting import Parrot, Staged
from tests.serving import open_socket
from tests.talk import kinds, run_input, text_of, within
from tests.unit.agents.upstream import STREAM_HEAD, answering, upstream

from .site import BASE, Site

THERE = "/there"

TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@agent
async def listener(context):
    """Says who asks on which thread, and what was said on it before."""
    yield context.started()
    said = ", ".join(each["content"] for each in context.messages)
    text = f"{context.thread_id} {said} {context.headers.get('x-tenant')}"
    yield {"type": "TEXT_MESSAGE_CHUNK", "messageId": context.run_id, "delta": text}
    yield context.finished()


@pytest.fixture(params=[False, True], ids=["a route each", "a single route"])
def single_route(request):
    return request.param


@pytest.fixture
async def other(make_runtime, settings, single_route):
    """Another runtime, and one of ours whose agent is the other's."""

    def everybody(request):
        return None, "user:service"

    socket = open_socket()
    url = f"http://127.0.0.1:{socket.getsockname()[1]}{THERE}"
    server = uvicorn.Server(uvicorn.Config(ASGIHandler(), log_level="critical", lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[socket]))
    staged = Staged()
    there = make_runtime(
        agents={"parrot": Parrot(), "staged": staged, "listener": listener},
        authentication=everybody,
    )
    here = make_runtime(
        agents={
            name: RuntimeAgent(url, name, single_route=single_route)
            for name in ("parrot", "staged", "listener", "nobody")
        },
        stop_grace_seconds=3,
    )
    settings.ROOT_URLCONF = Site({BASE: here, THERE: there})
    there.staged, there.url = staged, url
    yield there
    server.should_exit = server.force_exit = True
    await within(serving)
    await here.runner.drain()
    await there.runner.drain()


async def test_run__elsewhere(other, alice):
    """A run of the other runtime's agent is a run here."""
    events = (await alice.run(run_input("Hello"), agent="parrot")).events

    assert text_of(events) == "Hello"
    assert kinds(events)[0] == "RUN_STARTED"
    assert kinds(events)[-1] == "RUN_FINISHED"
    assert {e["threadId"] for e in events if "threadId" in e} == {"t1"}


async def test_run__two_owners(other, alice, bob):
    """Two owners with one thread id have threads of their own there; pages never see their keys."""
    hers = await alice.run(run_input("Mine"), agent="listener", x_tenant="acme")
    his = await bob.run(run_input("And mine"), agent="listener")

    her_thread, her_words = text_of(hers.events).split(" ", 1)
    his_thread, his_words = text_of(his.events).split(" ", 1)
    assert (her_words, his_words) == ("Mine acme", "And mine None")
    assert len({her_thread, his_thread, "t1"}) == 3
    for answer in (hers, his):
        assert all(event.get("threadId", "t1") == "t1" for event in answer.events)
        assert answer.events[0]["input"]["threadId"] == "t1"


async def test_run__nobody_there(other, alice):
    """An agent the other runtime does not know ends the run with an error."""
    events = (await alice.run(run_input(), agent="nobody")).events

    assert kinds(events)[-1] == "RUN_ERROR"
    assert "nobody" not in events[-1]["message"]


async def test_stop__elsewhere(other, alice):
    """A stop is told to the other runtime, which would go on otherwise."""
    response = await alice.open("POST", "/agent/staged/run", run_input())
    await within(other.staged.waiting.wait())

    answer = await alice.ask("POST", "/agent/staged/stop/t1")

    assert answer.data["stopped"]
    await within(other.staged.cancelled.wait())
    assert [chunk async for chunk in response]


@pytest.mark.parametrize("answer", [STREAM_HEAD, TOO_MANY], ids=["nothing at all", "refused"])
async def test_run__that_is_none(make_runtime, settings, alice, single_route, answer):
    """Where the other runtime runs nothing, nothing is stopped: that would be somebody else's."""
    async with upstream(answering(answer)) as there:
        shared = RuntimeAgent(there.url, "shared", single_route=single_route, own_threads=False)
        settings.ROOT_URLCONF = Site({BASE: make_runtime(agents={"default": shared})})
        await alice.run(run_input())

    assert len(there.exchanges) == 1
