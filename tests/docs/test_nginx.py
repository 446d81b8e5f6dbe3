"""The configuration of nginx on the page on serving, as it stands there, before a server."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests import services
from tests.bench.sockets import BenchServer
from tests.chaos.streams import run_body
from tests.servers.http import Connection
from tests.serving import open_socket
from tests.talk import within

from .pages import DOCS

SECONDS = 15.0

#: What a distribution's nginx.conf has around such a file, without what needs root.
AROUND = """
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/mysite.conf;
}}
"""


def printed(port: int, upstream: int) -> str:
    """The block on the page, with other ports."""
    page = (DOCS / "how-to/deploy.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    assert "listen 80;" in block
    assert "127.0.0.1:8000" in block
    block = block.replace("listen 80;", f"listen 127.0.0.1:{port};")
    return block.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")


@pytest.fixture(params=["uvicorn", "daphne"])
async def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[int]:
    """The port of nginx before the scripted agent."""
    program = services.require("nginx")
    server = await asyncio.to_thread(BenchServer, request.param)
    # Bound and closed again: what nginx listens on is in its configuration.
    probe = open_socket()
    port = probe.getsockname()[1]
    probe.close()
    (tmp_path / "mysite.conf").write_text(printed(port, server.port))
    # Started by root its workers would be somebody else, who may not write here.
    user = "user root;" if os.geteuid() == 0 else ""
    (tmp_path / "nginx.conf").write_text(user + AROUND.format(folder=tmp_path))
    nginx = await asyncio.create_subprocess_exec(
        *(program, "-p", str(tmp_path), "-c", "nginx.conf", "-g", "daemon off;"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await _listening(nginx, port)
        yield port
    finally:
        if nginx.returncode is None:
            nginx.terminate()
        await nginx.communicate()
        server.stop()


async def _listening(nginx: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            if nginx.returncode is not None:
                assert nginx.stderr is not None
                raise AssertionError((await nginx.stderr.read()).decode())
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def stop(port: int, thread: str) -> None:
    connection = await Connection.open(port)
    answer = await connection.post(f"/api/copilotkit/agent/default/stop/{thread}", {})
    assert (await answer.json())["stopped"] is True
    connection.abort()


@pytest.mark.needs("nginx")
async def test_stream__is_not_held_back(proxy):
    """What a run has said is there while it goes on: it is stopped only when it has been seen."""
    connection = await Connection.open(proxy)
    body = run_body("stream", "r", "hang:3")
    answer = await within(connection.post("/api/copilotkit/agent/default/run", body), SECONDS)
    events = aiter(answer.events())
    seen: list[Any] = []
    while not any(event["type"] == "TEXT_MESSAGE_CONTENT" for event in seen):
        seen.append(await within(anext(events), SECONDS))

    await stop(proxy, "stream")
    async with asyncio.timeout(SECONDS):
        seen += [event async for event in events]

    assert seen[-1]["type"] == "RUN_FINISHED"
    connection.abort()


@pytest.mark.needs("nginx")
async def test_socket__is_not_held_back(proxy):
    """So it is over the websocket, opened by a page of the host that nginx was asked for."""
    url = f"ws://127.0.0.1:{proxy}/ws/copilotkit/agent/default/connect/"
    async with connect(url, origin=f"http://127.0.0.1:{proxy}", proxy=None) as socket:
        assert json.loads(await within(socket.recv(), SECONDS))["type"] == "ready"
        body = run_body("socket", "r", "hang:3")
        await socket.send(json.dumps({"type": "run", "id": "a", "input": body}))
        seen: list[Any] = []
        while not any(event["type"] == "TEXT_MESSAGE_CONTENT" for event in seen):
            seen += json.loads(await within(socket.recv(), SECONDS))["events"]

        await socket.send(json.dumps({"type": "stop", "id": "s", "threadId": "socket"}))
        kinds = set()
        while not kinds >= {"result", "end"}:
            kinds.add(json.loads(await within(socket.recv(), SECONDS))["type"])


@pytest.mark.needs("nginx")
async def test_body__with_a_picture(proxy):
    """A message with an attachment of some megabytes passes."""
    connection = await Connection.open(proxy)
    body = run_body("picture", "r", "text:1")
    body["state"] = {"picture": "x" * 5_000_000}

    answer = await within(connection.post("/api/copilotkit/agent/default/run", body), SECONDS)

    assert answer.status == 200
    connection.abort()
