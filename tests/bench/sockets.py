"""What websockets cost: idle ones by the thousand, and many that follow one run.

    python -m tests.bench.sockets [--idle 2000] [--followers 500] [--server uvicorn|daphne]

Prints one JSON line for each figure. The idle ones have joined their topic and beat as the official
client does, every 30 seconds; of the memory both ends of a connection are in it only as far as the
server holds them. The followers are measured over the connect socket and, beside it, over the
event stream of HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.bench.process import Server
from tests.chaos.streams import quantile, run_body
from tests.servers.http import Connection

BASE = "/api/copilotkit"

#: Joined at a time.
AT_ONCE = 50

#: The official client's.
HEARTBEAT_SECONDS = 30


class BenchServer:
    """The bench server in a process of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        command = [sys.executable, "-m", "tests.bench.serve", "--server", name]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port: int = json.loads(self._process.stdout.readline())["port"]
        self._usage = Server(self._process.pid)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)

    def rss_mib(self) -> float:
        return self._usage.rss_mb() or 0.0

    def cpu_seconds(self) -> float:
        return self._usage.cpu_seconds() or 0.0


def show(**figures: Any) -> None:
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in figures.items()}))


async def in_turns(count: int, act: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Do something so many times, a few at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Any:
        async with places:
            return await act(number)

    return await asyncio.gather(*map(one, range(count)))


async def idle(server: BenchServer, count: int) -> None:
    """Memory and heartbeats of sockets on which nothing happens."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}{BASE}") as client:
        code = (await client.get("/threads")).json()["joinCode"]
        token = (await client.post("/threads/subscribe", json={})).json()["joinToken"]
    url = f"ws://127.0.0.1:{server.port}/ws/copilotkit/realtime/websocket"

    async def join(number: int) -> ClientConnection:
        socket = await connect(f"{url}?join_token={token}&vsn=2.0.0", proxy=None)
        await socket.send(json.dumps(["1", "1", f"user_meta:{code}", "phx_join", {}]))
        assert json.loads(await socket.recv())[4]["status"] == "ok"
        return socket

    warm = await in_turns(AT_ONCE, join)
    before, cpu = server.rss_mib(), server.cpu_seconds()
    began = time.monotonic()
    sockets = await in_turns(count, join)
    seconds, held = time.monotonic() - began, server.rss_mib() - before
    show(
        server=server.name,
        idle_sockets=count,
        kib_per_socket=held / count * 1024,
        rss_mib=server.rss_mib(),
        joined_per_second=count / seconds,
        cpu_ms_per_join=(server.cpu_seconds() - cpu) / count * 1000,
    )

    async def beat(number: int) -> None:
        await sockets[number].send('[null,"9","phoenix","heartbeat",{}]')
        await sockets[number].recv()

    cpu = server.cpu_seconds()
    rounds = 5
    for _ in range(rounds):
        await in_turns(count, beat)
    spent = (server.cpu_seconds() - cpu) / rounds
    show(
        server=server.name,
        heartbeat_cpu_us=spent / count * 1e6,
        heartbeat_share_of_a_core=spent / HEARTBEAT_SECONDS,
    )
    cpu = server.cpu_seconds()
    await asyncio.sleep(10)
    show(server=server.name, idle_share_of_a_core=(server.cpu_seconds() - cpu) / 10)
    await asyncio.gather(*(socket.close() for socket in [*warm, *sockets]))


async def followers(server: BenchServer, count: int, *, over: str) -> None:
    """How late the deltas of one run come to many who follow it."""
    thread = f"followed-over-{over}"
    port, late = server.port, []
    ready = asyncio.Semaphore(0)

    def take(event: Any, now: float) -> None:
        if event["type"] == "TEXT_MESSAGE_CONTENT":
            late.append(now * 1000 - float(event["delta"]))

    async def by_stream(number: int) -> None:
        connection = await Connection.open(port)
        body = {**run_body(thread, "f", ""), "messages": []}
        answer = await connection.post(f"{BASE}/agent/default/connect", body)
        first = True
        async for event in answer.events():
            take(event, time.time())
            if first:
                ready.release()
                first = False
        connection.abort()

    async def by_socket(number: int) -> None:
        url = f"ws://127.0.0.1:{port}/ws/copilotkit/agent/default/connect/"
        async with connect(url, proxy=None, max_size=None) as socket:
            await socket.recv()
            await socket.send(json.dumps({"type": "connect", "id": "f", "threadId": thread}))
            first = True
            while (message := json.loads(await socket.recv()))["type"] != "end":
                now = time.time()
                for event in message["events"]:
                    take(event, now)
                if message["frame"] % 16 == 0:
                    await socket.send(json.dumps({"type": "ack", "frame": message["frame"]}))
                if first:
                    ready.release()
                    first = False

    # The agent says when each delta was due: 100 of them, 100 ms apart, after a pause.
    runner = await Connection.open(port)
    running = await runner.post(f"{BASE}/agent/default/run", run_body(thread, "r", "stamp:150:100"))
    reading = asyncio.create_task(_drain(running))
    follow = by_socket if over == "websocket" else by_stream
    following = [asyncio.create_task(follow(number)) for number in range(count)]
    for _ in range(count):
        await asyncio.wait_for(ready.acquire(), 60)
    # What was said before everybody was there is no live delta.
    late.clear()
    cpu, began = server.cpu_seconds(), time.monotonic()
    await asyncio.gather(*following, reading)
    seconds = time.monotonic() - began
    show(
        server=server.name,
        over=over,
        followers=count,
        deltas=len(late),
        late_ms_p50=quantile(late, 0.5),
        late_ms_p95=quantile(late, 0.95),
        late_ms_p99=quantile(late, 0.99),
        cpu_us_per_delta=(server.cpu_seconds() - cpu) / max(1, len(late)) * 1e6,
        share_of_a_core=(server.cpu_seconds() - cpu) / seconds,
        rss_mib=server.rss_mib(),
    )
    runner.abort()


async def _drain(answer: Any) -> None:
    async for _ in answer.events():
        pass


async def measure(options: argparse.Namespace) -> None:
    server = BenchServer(options.server)
    try:
        if options.followers:
            await followers(server, options.followers, over="http")
            await followers(server, options.followers, over="websocket")
        if options.idle:
            await idle(server, options.idle)
    finally:
        server.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--followers", type=int, default=500)
    parser.add_argument("--server", default="uvicorn")
    options = parser.parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(measure(options))


if __name__ == "__main__":
    main()
