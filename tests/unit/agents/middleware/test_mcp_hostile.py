"""MCP servers that mean harm, or are broken: contained, and the run goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from copilotkit_django.agents.middleware.mcp_apps import MCPApps
from copilotkit_django.agents.middleware.mcp_apps.guarded import is_public
from copilotkit_django.agents.middleware.mcp_apps.servers import AppServer
from copilotkit_django.agents.middleware.mcp_apps.tools import MOST_LINES, usable
from tests.talk import kinds, within

from .stage import Saying, calls, run

HOST = "127.0.0.1"
RESOURCE = {"ui": {"resourceUri": "ui://x/y.html"}}
SCHEMA = {"type": "object", "properties": {}}
TOOL = {"name": "show", "inputSchema": SCHEMA, "_meta": RESOURCE}


@dataclass
class Hostile:
    """Speaks as much MCP as it takes to be listened to, then does what ``does`` says.

    ``does`` maps methods to what comes instead of the result: bytes are sent as they are, a
    callable is given the writer and this server.
    """

    does: dict[str, Any] = field(default_factory=dict)
    tools: list[dict[str, Any]] = field(default_factory=lambda: [TOOL])
    asked: list[str] = field(default_factory=list)
    url: str = ""
    #: The test is over: nobody needs to be kept waiting any more.
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lengths = [
                    line.partition(":")[2]
                    for line in head.split("\r\n")
                    if line.lower().startswith("content-length")
                ]
                body = await reader.readexactly(int(lengths[0]) if lengths else 0)
                await self.answer(json.loads(body or b"{}"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, message: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        method = message.get("method", "")
        self.asked.append(method)
        act = self.does.get(method)
        if callable(act):
            await act(writer, self)
            return
        if act is None:
            act = self.proper(message, method)
        writer.write(act)
        await writer.drain()

    def proper(self, message: dict[str, Any], method: str) -> bytes:
        if "id" not in message:
            return b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
        results = {
            "initialize": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "x", "version": "1"},
            },
            "tools/list": {"tools": self.tools},
            "tools/call": {"content": [{"type": "text", "text": "ok"}]},
        }
        if method not in results:
            return answer({"jsonrpc": "2.0", "id": message["id"], "error": NO_METHOD})
        return answer({"jsonrpc": "2.0", "id": message["id"], "result": results[method]})


NO_METHOD = {"code": -32601, "message": "Method not found"}


def answer(value: Any, *headers: str, status: str = "200 OK", body: bytes | None = None) -> bytes:
    body = json.dumps(value).encode() if body is None else body
    lines = [
        f"HTTP/1.1 {status}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def hostile(**options: Any):
    server = Hostile(**options)
    async with await asyncio.start_server(server.connected, HOST, 0) as listening:
        server.url = f"http://{HOST}:{listening.sockets[0].getsockname()[1]}/mcp"
        yield server
        server.over.set()


def apps(server: Hostile, **options: Any) -> MCPApps:
    given = {"timeout": 5, "max_bytes": 100_000, "allow_private_addresses": True, **options}
    return MCPApps([{"url": server.url, **given}])


async def goes_on(middleware: MCPApps) -> Saying:
    """A run is whole although the server gives it nothing."""
    agent = Saying({"type": "CUSTOM", "name": "said", "value": 1})
    events = await within(run(agent, [middleware]))
    assert kinds(events) == ["RUN_STARTED", "CUSTOM", "RUN_FINISHED"]
    assert agent.contexts[0].input.tools == []
    return agent


async def failed_call(middleware: MCPApps) -> None:
    """A call is answered with an error of ours, and the run ends well."""
    # What there is to call is known before; the call itself is not waited for that long.
    await within(run(Saying(), [middleware]))
    object.__setattr__(middleware.servers[0], "timeout", 0.5)
    events = await within(run(Saying(*calls("show", "{}")), [middleware]))
    assert kinds(events)[-2:] == ["TOOL_CALL_RESULT", "RUN_FINISHED"]
    assert json.loads(events[-2]["content"]) == {"error": "The tool could not be called."}


async def silence(writer: asyncio.StreamWriter, server: Hostile) -> None:
    await server.over.wait()


async def test_server__reachable():
    """The server of these tests is understood when it does nothing wrong."""
    async with hostile() as server:
        events = await within(run(Saying(*calls("show", "{}")), [apps(server)]))

    assert events[-3]["content"] == "ok"


@pytest.mark.parametrize("method", ["server/discover", "tools/list"])
@pytest.mark.parametrize("location", ["http://169.254.169.254/latest", "/mcp2", "//[::1]:1/"])
async def test_redirect__refused(caplog, method, location):
    """Redirects are not followed, wherever they lead."""
    away = answer({}, f"location: {location}", status="307 Temporary Redirect")
    async with hostile(does={method: away}) as server:
        await goes_on(apps(server))

        assert server.asked.count(method) == 1
    assert "is skipped: The server answered with a redirect." in caplog.text


async def test_redirect__of_a_call(caplog):
    """A call is not redirected either, with the credentials it carries."""
    stolen = []

    async def thief(reader, writer):
        stolen.append(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(thief, HOST, 0) as other:
        port = other.sockets[0].getsockname()[1]
        away = answer({}, f"location: http://{HOST}:{port}/", status="308 Permanent Redirect")
        async with hostile(does={"tools/call": away}) as server:
            await failed_call(apps(server, headers={"Authorization": "Bearer secret"}))

    assert stolen == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1"])
async def test_private_address__refused(caplog, host):
    """Addresses that are not public are refused, also behind a name, without being contacted."""
    async with hostile() as server:
        port = server.url.rsplit(":", 1)[1]
        await goes_on(MCPApps([{"url": f"http://{host}:{port}"}]))

        assert server.asked == []
    assert "which is not public; allow it with 'allow_private_addresses'" in caplog.text


async def test_private_address__changed_name(monkeypatch, caplog):
    """A name is resolved once: what it means a moment later changes nothing."""
    loop = asyncio.get_running_loop()
    asked = []

    async def resolve(host, port, **options):
        asked.append(host)
        # Public when it is looked at; whoever resolves it again would be led to this machine.
        address = "192.0.2.1" if len(asked) > 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    heads = []

    async def look(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_server(look, HOST, 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        await goes_on(
            MCPApps(
                [
                    {
                        "url": f"http://app.example:{port}/mcp",
                        "allow_private_addresses": True,
                        "timeout": 0.5,
                    }
                ]
            )
        )

    # It was connected to the address that was looked at, under the name it was asked by.
    assert asked[0] == "app.example"
    assert f"host: app.example:{port}".encode() in heads[0].lower()


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fc00::1",
        "fe80::1%eth0",
        "ff02::1",
    ],
)
def test_is_public__not(address):
    """Private, local, shared and reserved addresses are none, in whatever dress."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_is_public__is(address):
    """Addresses of the public internet are."""
    assert is_public(address)


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_answer__a_gigabyte(caplog, kind):
    """An answer that never ends is not read to its end."""
    sent = []

    async def pour(writer, server):
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n".encode())
        writer.write(b"content-length: 1000000000\r\n\r\ndata: {")
        for _ in range(15_000):
            writer.write(b" " * 65536)
            await writer.drain()
            sent.append(65536)

    async with hostile(does={"tools/list": pour}) as server:
        await goes_on(apps(server))
    async with hostile(does={"tools/call": pour}) as server:
        await failed_call(apps(server))

    assert "more than 100000 bytes" in caplog.text
    # What the buffers of two sockets hold, and not a gigabyte.
    assert sum(sent) < 50_000_000


async def test_answer__compressed(caplog):
    """A small answer that would be a large one is not unpacked."""
    bomb = gzip.compress(b" " * 50_000_000)
    packed = answer(None, "content-encoding: gzip", body=bomb)
    async with hostile(does={"tools/list": packed}) as server:
        await goes_on(apps(server, max_bytes=10_000_000))

    assert "compressed body" in caplog.text


@pytest.mark.parametrize("method", ["server/discover", "initialize", "tools/list"])
async def test_answer__never(caplog, method):
    """A server that says nothing holds a run up for so long only, and only the first."""
    async with hostile(does={method: silence}) as server:
        middleware = apps(server, timeout=0.5)
        began = time.monotonic()
        await goes_on(middleware)
        first = time.monotonic() - began
        asked = len(server.asked)
        await goes_on(middleware)

        assert len(server.asked) == asked
    print(f"held up for {first:.2f} s")
    assert "is skipped: " in caplog.text


async def test_answer__never_to_a_call():
    """A call that is not answered is given up."""
    async with hostile(does={"tools/call": silence}) as server:
        await failed_call(apps(server))


async def test_answer__drop_by_drop():
    """Answers that keep coming slowly are given up as well."""

    async def drip(writer, server):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while not server.over.is_set():
            writer.write(b": still here\n\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with hostile(does={"tools/list": drip}) as server:
        await goes_on(apps(server, timeout=0.5))
    async with hostile(does={"tools/call": drip}) as server:
        await failed_call(apps(server))


@pytest.mark.parametrize(
    "data",
    [
        answer(None, body=b"not json"),
        answer(None, body=b"[" * 100_000),
        answer({"jsonrpc": "2.0", "id": 99, "result": {}}),
        answer({"jsonrpc": "2.0"}),
        answer({}, status="500 Internal Server Error"),
        b"not http at all\r\n\r\n",
        b"",
    ],
    ids=["no json", "deep", "other id", "no message", "500", "no http", "nothing"],
)
async def test_answer__broken(data):
    """Answers that are none are survived, while listing and in a call."""

    async def say(writer, server):
        writer.write(data)
        await writer.drain()
        writer.close()

    async with hostile(does={"tools/list": say}) as server:
        await goes_on(apps(server, timeout=0.5))
    async with hostile(does={"tools/call": say}) as server:
        await failed_call(apps(server))


async def test_call__result_is_not_checked_against_their_schema():
    """A schema of the server is not run here: its regular expressions may never come to an end."""
    evil = {"type": "object", "properties": {"x": {"type": "string", "pattern": "(a+)+$"}}}
    result = {"content": [], "structuredContent": {"x": "a" * 40 + "!"}}

    class Evil(Hostile):
        def proper(self, message, method):
            if method == "tools/call":
                return answer({"jsonrpc": "2.0", "id": message["id"], "result": result})
            return super().proper(message, method)

    server = Evil(tools=[{**TOOL, "outputSchema": evil}])
    async with await asyncio.start_server(server.connected, HOST, 0) as listening:
        server.url = f"http://{HOST}:{listening.sockets[0].getsockname()[1]}/mcp"
        events = await within(run(Saying(*calls("show", "{}")), [apps(server)]))

    assert events[-2]["content"]["result"]["structuredContent"] == result["structuredContent"]


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ({"name": "<script>alert(1)</script>"}, "its name is '<script>alert(1)</script>'"),
        ({"name": "a\nINJECTED"}, r"its name is 'a\nINJECTED'"),
        ({"name": "x" * 65}, "its name is 'xxx"),
        ({"name": ""}, "its name is ''"),
        ({"inputSchema": {"type": "array"}}, "are not those of an object"),
        ({"inputSchema": {}}, "are not those of an object"),
        ({"inputSchema": {"type": "object", "properties": 7}}, "not described by a JSON schema"),
        ({"inputSchema": {"type": "object", "required": "x"}}, "not described by a JSON schema"),
        (
            {"inputSchema": {"type": "object", "$ref": "http://169.254.169.254/"}},
            "refer to another document",
        ),
        (
            {"inputSchema": {"type": "object", "items": [{"$ref": "file:///etc/passwd"}]}},
            "refer to another document",
        ),
        ({"inputSchema": {"type": "object", "title": "x" * 70_000}}, "more than 65536 bytes"),
    ],
)
def test_tools__unusable(caplog, tool, text):
    """A tool that cannot be offered is skipped; the others are not."""
    server = AppServer(url="https://a.example")

    tools = usable(server, [{**TOOL, **tool}, TOOL])

    assert [each.name for each in tools] == ["show"]
    assert text in caplog.text
    assert "\nINJECTED" not in caplog.text


def test_tools__too_many(caplog):
    """So many tools are taken, and so many lines are written about the rest."""
    server = AppServer(url="https://a.example")
    many = [{**TOOL, "name": f"tool{number}"} for number in range(1000)]

    assert len(usable(server, many)) == 128
    caplog.clear()
    usable(server, [{**TOOL, "name": f"<{number}>"} for number in range(1000)])

    assert len(caplog.records) == MOST_LINES + 1
    assert "995 more tools" in caplog.text


def test_tools__description():
    """Descriptions are cut, and are one text without control characters."""
    server = AppServer(url="https://a.example")

    (tool,) = usable(server, [{**TOOL, "description": "a\x00\x1b[31mb" + "c" * 10_000}])

    assert tool.description.startswith("a[31mbc")
    assert len(tool.description) == 4096


async def test_run__one_of_two_servers(caplog):
    """A server that fails takes nothing from the others, and they do not wait for it in turn."""
    caplog.set_level(logging.WARNING)
    async with hostile(does={"server/discover": silence}) as bad, hostile() as good:
        agent = Saying()
        middleware = MCPApps(
            [
                {"url": each.url, "allow_private_addresses": True, "timeout": timeout}
                for each, timeout in ((bad, 0.5), (good, 5))
            ]
        )
        await within(run(agent, [middleware]))

    assert [tool["name"] for tool in agent.contexts[0].input.tools] == ["show"]
    assert caplog.text.count("is skipped") == 1


async def test_run__left_while_calling():
    """A run that ends while a server is silent does not wait for it."""
    async with hostile(does={"tools/call": silence}) as server:
        middleware = apps(server, timeout=60)
        task = asyncio.create_task(run(Saying(*calls("show", "{}")), [middleware]))
        async with asyncio.timeout(5):
            while "tools/call" not in server.asked:  # noqa: ASYNC110 - the server is not ours
                await asyncio.sleep(0.01)
        task.cancel()
        await within(asyncio.wait({task}))

    assert task.cancelled()
