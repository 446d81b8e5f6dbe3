"""Headers on their way to an agent elsewhere: what is smuggled in goes no further."""

from __future__ import annotations

import json
from typing import Any

import pytest

from copilotkit_django.agents import HttpAgent
from copilotkit_django.asgi import get_asgi_application
from tests.integration.site import BASE, Connection
from tests.talk import kinds, run_input
from tests.unit.agents.upstream import STREAM_HEAD, Exchange, frame, upstream

BODY = json.dumps(run_input()).encode()

#: How a connection is held and where a message ends is between two machines.
FRAMING = {
    "connection": "close, x-secret",
    "content-length": "5",
    "expect": "100-continue",
    "host": "elsewhere.example",
    "keep-alive": "timeout=5",
    "proxy-authorization": "Basic eDp5",
    "proxy-connection": "keep-alive",
    "te": "trailers",
    "trailer": "x-late",
    "transfer-encoding": "chunked",
    "upgrade": "websocket",
}


async def answer(exchange: Exchange) -> None:
    ids = {"threadId": "t1", "runId": "r1"}
    started, finished = {"type": "RUN_STARTED", **ids}, {"type": "RUN_FINISHED", **ids}
    await exchange.send(STREAM_HEAD, frame(started), frame(finished))


async def sent_on(serve: Any, alice: Any, headers: dict[str, str], **options: Any) -> Any:
    """What an agent elsewhere was sent for a run with these headers, and what came of the run."""
    async with upstream(answer) as server:
        serve(agents={"default": HttpAgent(server.url)}, **options)
        done = await alice.run(run_input(), origin="http://testserver", **headers)
    return server.exchanges, kinds(done.events)


@pytest.mark.parametrize("allowed", [None, {"allow": [*FRAMING, "x-kept"]}])
async def test_framing__not_forwarded(serve, alice, allowed):
    """Headers about the connection are not, even where somebody allows them by name."""
    headers = {name: value for name, value in FRAMING.items() if name != "host"}
    [exchange], events = await sent_on(
        serve, alice, {**headers, "x-kept": "1"}, forward_headers=allowed
    )

    for name, value in FRAMING.items():
        assert exchange.headers.get(name) != value, name
    assert exchange.headers["x-kept"] == "1"
    assert "transfer-encoding" not in exchange.headers
    assert int(exchange.headers["content-length"]) == len(exchange.body) > 100
    assert events == ["RUN_STARTED", "RUN_FINISHED"]


async def test_host__not_forwarded(serve, alice):
    """The agent is called by its own name."""
    allow = {"allow": ["host"]}

    [exchange], _ = await sent_on(serve, alice, {}, forward_headers=allow)

    assert exchange.headers["host"].startswith("127.0.0.1:")


@pytest.mark.parametrize("value", ["a\r\nX-Forged: 1", "a\nX-Forged: 1", "a\rX-Forged: 1", "a\0b"])
async def test_line_break__ends_the_run(serve, value):
    """A value that would begin another header, if a server lets it through, is sent to nobody."""
    async with upstream(answer) as server:
        serve(agents={"default": HttpAgent(server.url)})
        headers = {"x-user": "alice", "x-odd": value}
        connection = Connection(
            get_asgi_application(), f"{BASE}/agent/default/run", BODY, headers=headers
        )
        assert await connection.begin() == 200
        body = await connection.finish()

    assert b"RUN_ERROR" in body
    assert b"Forged" not in body
    assert all("x-forged" not in exchange.headers for exchange in server.exchanges)


@pytest.mark.parametrize(
    "name",
    ["cookie", "x-csrftoken", "x-forwarded-for", "X-Real-IP", "x-accel-redirect", "forwarded"],
)
async def test_credentials__not_forwarded(serve, alice, name):
    """What signs somebody in here, or says where they are, stays here."""
    [exchange], _ = await sent_on(serve, alice, {name: "secret"})

    assert "secret" not in str(exchange.headers)
