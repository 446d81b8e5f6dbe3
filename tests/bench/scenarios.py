"""The load scenarios. Every figure is in milliseconds unless its name says otherwise.

The agent must know two scripts: `text:N` yields N deltas as fast as it can, `stamp:N:MS` yields
them MS milliseconds apart on a fixed schedule, each holding the time it was due.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from .connection import Client, Connection, OnFrame, now
from .process import PeakMemory, Server

Figures = dict[str, Any]
Scenario = Callable[[Client, Server, float], Awaitable[Figures]]

#: Events of a run besides its deltas: run and text message, started and ended.
FRAME = 4


def name(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def quantile(values: Iterable[float], fraction: float) -> float | None:
    ordered = sorted(values)
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(fraction * len(ordered)))], 3)


def rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def lateness(into: list[float]) -> OnFrame:
    """A callback that notes by how much each stamped delta is late."""

    def on_frame(frame: bytes, arrived: float) -> None:
        key = frame.find(b'"delta":')
        if key >= 0:
            start = frame.index(b'"', key + 8) + 1
            into.append(arrived - float(frame[start : frame.index(b'"', start)]))

    return on_frame


async def s1(client: Client, server: Server, scale: float) -> Figures:
    """One stream of 5000 deltas: events per second, MB per second."""
    deltas = 5000
    await client.run(name("w"), name("r"), "text:200")
    rows = []
    for _ in range(3):
        cpu = server.cpu_seconds()
        done = await client.run(name("s1"), name("r"), f"text:{deltas}")
        used = server.cpu_since(cpu)
        seconds = done.total_ms / 1000
        rows.append(
            {
                "events_per_s": round(done.frames / seconds),
                "mb_per_s": round(done.body_bytes / seconds / 1e6, 2),
                "total_ms": round(done.total_ms, 1),
                "server_cpu_ms": None if used is None else used * 1000,
                "bytes": done.body_bytes,
                "all_complete": done.completed(deltas + FRAME),
            }
        )
    rows.sort(key=lambda row: row["events_per_s"])
    return {**rows[1], "all_complete": all(row["all_complete"] for row in rows)}


async def s2(client: Client, server: Server, scale: float) -> Figures:
    """200 runs of 10 deltas, one after the other: time to the first event, time to the end."""
    runs = int(200 * scale)
    for _ in range(10):
        await client.run(name("w"), name("r"), "text:10")
    first, total, incomplete = [], [], 0
    for _ in range(runs):
        done = await client.run(name("s2"), name("r"), "text:10")
        first.append(done.first_ms)
        total.append(done.total_ms)
        incomplete += not done.completed(10 + FRAME)
    return {
        "runs": runs,
        "first_event_p50": quantile(first, 0.5),
        "first_event_p95": quantile(first, 0.95),
        "end_p50": quantile(total, 0.5),
        "end_p95": quantile(total, 0.95),
        "incomplete": incomplete,
    }


async def s3(client: Client, server: Server, scale: float) -> Figures:
    """Runs of 10 deltas, 1, 16 and 64 at a time: runs per second."""
    sizes = ((1, 200), (16, 800), (64, 1600))
    return {str(n): await short_runs(client, server, n, int(runs * scale)) for n, runs in sizes}


async def short_runs(client: Client, server: Server, at_once: int, runs: int) -> Figures:
    left = iter(range(runs))
    took: list[float] = []
    counted: Counter[str] = Counter(incomplete=0, errors=0)

    async def worker() -> None:
        for _ in left:
            try:
                done = await client.run(name("s3"), name("r"), "text:10")
            except Exception:
                counted["errors"] += 1
            else:
                took.append(done.total_ms)
                counted["incomplete"] += not done.completed(10 + FRAME)

    cpu, began = server.cpu_seconds(), now()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    seconds = now() - began
    used = server.cpu_since(cpu)
    return {
        "runs": runs,
        "runs_per_s": round(runs / seconds, 1),
        "p50": quantile(took, 0.5),
        "p95": quantile(took, 0.95),
        "incomplete": counted["incomplete"],
        "errors": counted["errors"],
        "server_cpu_ms_per_run": None if used is None else round(used * 1000 / runs, 3),
    }


async def s4(client: Client, server: Server, scale: float) -> Figures:
    """200 and 1000 streams at once, 20 deltas 100 ms apart: lateness, errors, memory."""
    figures = {}
    for streams in (200, 1000):
        streams = max(2, int(streams * scale))
        figures[str(streams)] = await paced_streams(client, server, streams)
        await asyncio.sleep(0.5)
    return figures


async def paced_streams(client: Client, server: Server, streams: int) -> Figures:
    deltas, ms = 20, 100
    late: list[float] = []
    first: list[float] = []
    errors: Counter[str] = Counter()
    completed = 0
    on_frame = lateness(late)

    connections: list[Connection] = []
    for _ in range(streams):
        try:
            connections.append(await client.open())
        except OSError as error:
            errors[type(error).__name__] += 1

    async def one(connection: Connection) -> None:
        nonlocal completed
        script = f"stamp:{deltas}:{ms}"
        try:
            done = await client.run(
                *(name("s4"), name("r"), script),
                on_frame=on_frame,
                connection=connection,
                timeout=60,
            )
        except Exception as error:
            errors[type(error).__name__] += 1
        else:
            first.append(done.first_ms)
            if done.completed(deltas + FRAME):
                completed += 1
            else:
                errors["incomplete"] += 1
        finally:
            connection.transport.close()

    async with PeakMemory(server) as memory:
        cpu, began = server.cpu_seconds(), now()
        await asyncio.gather(*(one(connection) for connection in connections))
        wall = now() - began
        used = server.cpu_since(cpu)
    return {
        "streams": streams,
        "completed": completed,
        "errors": dict(errors),
        "wall_ms": round(wall * 1000, 1),
        "ideal_ms": deltas * ms,
        "first_event_p50": quantile(first, 0.5),
        "first_event_p95": quantile(first, 0.95),
        "late_p50": quantile(late, 0.5),
        "late_p95": quantile(late, 0.95),
        "late_p99": quantile(late, 0.99),
        "late_max": quantile(late, 1),
        "deltas": len(late),
        "server_cpu_s": rounded(used, 2),
        "rss_before_mb": memory.before,
        "rss_peak_mb": memory.peak,
        "rss_after_mb": memory.after,
    }


async def s5(client: Client, server: Server, scale: float) -> Figures:
    """Replay of a thread with 1, 10, 100 and 500 earlier runs of 50 deltas."""
    figures = {}
    thread = name("s5")
    ran: list[float] = []
    for target in (1, 10, 100, 500):
        if scale < 1 and target > 100 * scale:
            break
        while len(ran) < target:
            ran.append((await client.run(thread, name("r"), "text:50")).total_ms)
        total, first = [], []
        for _ in range(15):
            done = await client.connect(thread, name("c"))
            total.append(done.total_ms)
            first.append(done.first_ms)
        figures[str(target)] = {
            "connect_p50": quantile(total, 0.5),
            "connect_p95": quantile(total, 0.95),
            "first_event_p50": quantile(first, 0.5),
            "events": done.frames,
            "runs_replayed": done.frames // 5,
            "bytes": done.body_bytes,
            "run_end_p50_last10": quantile(ran[-10:], 0.5),
        }
    return figures


async def s6(client: Client, server: Server, scale: float) -> Figures:
    """One live run of 500 deltas watched by 20 connects."""
    deltas, ms, subscribers = 500, 4, 20
    thread = name("s6")
    late: list[float] = []
    on_frame = lateness(late)
    started = asyncio.Event()
    connections = [await client.open() for _ in range(subscribers + 1)]
    cpu = server.cpu_seconds()
    runner = asyncio.create_task(
        client.run(
            *(thread, name("r"), f"stamp:{deltas}:{ms}"),
            on_frame=lambda frame, arrived: started.set(),
            connection=connections[0],
        )
    )
    await asyncio.wait_for(started.wait(), 30)
    followers = await asyncio.gather(
        *(
            client.connect(thread, name("c"), on_frame=on_frame, connection=connection)
            for connection in connections[1:]
        )
    )
    run = await runner
    for connection in connections:
        connection.transport.close()
    last = max(follower.ended_at for follower in followers)
    return {
        "subscribers": subscribers,
        "deltas": deltas,
        "run_ms": round(run.total_ms, 1),
        "ideal_ms": deltas * ms,
        "all_have_all_ms": round((last - run.sent_at) * 1000, 1),
        "lag_after_run_ms": round((last - run.ended_at) * 1000, 2),
        "complete": sum(follower.completed(deltas + FRAME) for follower in followers),
        "late_p50": quantile(late, 0.5),
        "late_p95": quantile(late, 0.95),
        "late_max": quantile(late, 1),
        "server_cpu_s": rounded(server.cpu_since(cpu), 2),
    }


async def s7(client: Client, server: Server, scale: float) -> Figures:
    """One run of 60,000 deltas, as fast as they come: how the cost grows with length."""
    deltas = int(60_000 * scale)
    done = await client.run(name("s7"), name("r"), f"text:{deltas}")
    return {
        "deltas": deltas,
        "total_ms": round(done.total_ms, 1),
        "complete": done.completed(deltas + FRAME),
    }


SCENARIOS: dict[str, Scenario] = {each.__name__: each for each in (s1, s2, s3, s4, s5, s6, s7)}
#: What a plain drive runs. `s7` takes the reference half a minute.
USUAL = ("s1", "s2", "s3", "s4", "s5", "s6")
