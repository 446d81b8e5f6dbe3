"""Tools of MCP servers, over the wire."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from fastmcp.client import Client

from copilotkit_django import RunContext, tool
from copilotkit_django.testing import ToolCall
from tests.talk import run_input, text_of

from .conversation import results
from .mcp_server import Shop, shop_server
from .test_providers import WEATHER


@pytest.fixture(params=["http", "sse"])
def shop(request: pytest.FixtureRequest) -> Iterator[tuple[str, Shop]]:
    with shop_server(request.param) as server:
        yield request.param, server


async def test_tool__of_a_server(serve, llm, alice, shop) -> None:
    """The tools of a server are offered and called, with the headers it is to be sent."""
    kind, server = shop
    llm.script = lambda prompt: (
        "Cheap." if prompt.tool_results else ToolCall("price", {"item": "pear"})
    )
    serve(mcp_servers=[{"type": kind, "url": server.url, "headers": {"Authorization": "Bearer x"}}])

    events = (await alice.run(run_input())).events

    assert text_of(events) == "Cheap."
    (result,) = results(events).values()
    assert json.loads(result)["structuredContent"] == {"cents": 40}
    price = next(offered for offered in llm.prompts[0].tools if offered["name"] == "price")
    assert price["description"] == "What something costs."
    assert price["parameters"]["required"] == ["item"]
    assert all(headers["authorization"] == "Bearer x" for headers in server.headers)


async def test_tool__of_a_server_that_fails(serve, llm, alice) -> None:
    """An error of the server's tool is told to the model."""
    llm.script = lambda prompt: (
        prompt.tool_results[0].text if prompt.tool_results else ToolCall("fail")
    )
    with shop_server() as server:
        serve(mcp_servers=[{"type": "http", "url": server.url}])

        events = (await alice.run(run_input())).events

    (result,) = results(events).values()
    assert list(json.loads(result)) == ["error"]
    assert events[-1]["type"] == "RUN_FINISHED"


async def test_headers__of_the_run(serve, llm, alice) -> None:
    """Headers may be made for each run, of who is asking."""

    async def headers(context: RunContext) -> dict[str, str]:
        return {"x-for": context.scope}

    with shop_server() as server:
        serve(mcp_servers=[{"type": "http", "url": server.url, "headers": headers}])

        await alice.run(run_input())

        assert {sent["x-for"] for sent in server.headers} == {"user:alice"}


async def test_server__unreachable(serve, llm, alice, caplog) -> None:
    """A server that is not there is skipped; the others are not."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/mcp"
    with shop_server() as server:
        serve(mcp_servers=[{"type": "http", "url": url}, {"type": "http", "url": server.url}])

        events = (await alice.run(run_input())).events

    assert text_of(events) == "You said: hi"
    assert "price" in llm.prompts[0].tool_names
    assert "is skipped" in caplog.text


async def test_same_name__the_server_wins(serve, llm, alice) -> None:
    """A tool of the page gives way to one of the server of the same name, and that to an MCP
    server's."""

    @tool
    def fail() -> str:
        """Mine."""
        return "mine"

    llm.script = lambda prompt: (
        "ok" if prompt.tool_results else [ToolCall("showWeather", {"city": "Rome"})]
    )
    with shop_server() as server:
        serve(tools=[fail], mcp_servers=[{"type": "http", "url": server.url}])

        events = (await alice.run(run_input(tools=[WEATHER]))).events

    names = llm.prompts[0].tool_names
    assert len(names) == len(set(names))
    assert "Asked the server about Rome." in next(iter(results(events).values()))
    offered = {each["name"]: each["description"] for each in llm.prompts[0].tools}
    assert offered["fail"] == "Always fails."


async def test_client__of_the_project(serve, llm, alice) -> None:
    """A client the project owns is used and left as it was."""
    llm.script = lambda prompt: (
        "Cheap." if prompt.tool_results else ToolCall("price", {"item": "fig"})
    )
    with shop_server() as server:
        async with Client(server.url) as client:
            serve(mcp_clients=[client])

            events = (await alice.run(run_input())).events

            assert client.is_connected()

    assert json.loads(next(iter(results(events).values())))["structuredContent"] == {"cents": 30}


async def test_connection__left_with_the_run(serve, llm, alice) -> None:
    """Nothing of a run stays connected, however it ends."""
    from copilotkit_django.testing import Refuse

    llm.script = lambda prompt: Refuse()
    with shop_server() as server:
        serve(mcp_servers=[{"type": "http", "url": server.url}])

        events = (await alice.run(run_input())).events

    # The server ends within its second, which it does not with a client that stays.
    assert events[-1]["type"] == "RUN_ERROR"
