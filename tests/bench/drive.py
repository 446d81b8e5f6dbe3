"""Drive a server of this protocol through the load scenarios.

    python -m tests.bench.drive --base http://127.0.0.1:4000/api/copilotkit --pid 1234 \\
        --label ours --repeats 3 --out result.json

Prints the figures of every repeat and their medians as JSON. What the scenarios are, and which
scripts the agent has to know, stands in tests/bench/scenarios.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .connection import Client, now
from .process import Server
from .scenarios import SCENARIOS, USUAL

SCENARIO_SECONDS = 300


async def drive(
    client: Client, server: Server, *, scenarios: Iterable[str], scale: float, label: str
) -> dict[str, Any]:
    """One repeat: the figures of each scenario, and the memory around all of them."""
    row: dict[str, Any] = {"rss_start_mb": server.rss_mb()}
    for scenario in scenarios:
        began = now()
        try:
            figures = SCENARIOS[scenario](client, server, scale)
            row[scenario] = await asyncio.wait_for(figures, SCENARIO_SECONDS)
        except Exception as error:  # the other scenarios are still worth having
            row[scenario] = {"failed": f"{type(error).__name__}: {error}"}
        print(f"[{label}] {scenario} took {now() - began:.1f}s", file=sys.stderr)
    row["rss_end_mb"] = server.rss_mb()
    return row


async def measure(
    base: str,
    *,
    agent: str = "default",
    pid: int = 0,
    label: str = "server",
    repeats: int = 1,
    scenarios: Iterable[str] = USUAL,
    scale: float = 1.0,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """All repeats on one warm server, with their medians."""
    allow_many_files()
    client, server = Client(base, agent, headers or {}), Server(pid)
    scenarios = list(scenarios)
    runs = [
        await drive(client, server, scenarios=scenarios, scale=scale, label=f"{label} {n + 1}")
        for n in range(repeats)
    ]
    return {
        "label": label,
        "agent": agent,
        "repeats": repeats,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "median": median(runs),
        "runs": runs,
    }


def allow_many_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, hard), hard))


def median(values: list[Any]) -> Any:
    """The median of numbers, key by key of mappings; of anything else the value all share."""
    first = values[0]
    if isinstance(first, dict):
        shared = [key for key in first if all(key in value for value in values)]
        return {key: median([value[key] for value in values]) for key in shared}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        middle = statistics.median(values)
        return round(middle, 3) if isinstance(middle, float) else middle
    return first if all(value == first for value in values) else values


def header(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name.strip(), value.strip()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True)
    parser.add_argument("--agent", default="default")
    parser.add_argument("--pid", type=int, default=0, help="the server; its children count too")
    parser.add_argument("--label", default="server")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--scenarios", default=",".join(USUAL))
    parser.add_argument("--scale", type=float, default=1.0, help="below 1 for a smoke test")
    parser.add_argument("--header", action="append", type=header, default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)

    result = asyncio.run(
        measure(
            options.base,
            agent=options.agent,
            pid=options.pid,
            label=options.label,
            repeats=options.repeats,
            scenarios=options.scenarios.split(","),
            scale=options.scale,
            headers=dict(options.header),
        )
    )
    text = json.dumps(result, indent=1)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
