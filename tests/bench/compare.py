"""Measure the Node reference and our server, one after the other, and hold the budgets.

    cd tests/bench/node_peer && npm i --legacy-peer-deps --no-audit --no-fund --ignore-scripts
    python -m tests.bench.compare [--server uvicorn] [--handler ours] [--repeats 3] [--out DIR]

Prints a markdown table: both figures, their ratio, and what the ratio must be. The figures of two
machines, or of two hours on a shared one, do not compare: only the ratios mean something, and one
within a factor of 1.5 of its budget is undecided. Exit status 1 if a budget is missed.

The reference runs on its memory runner; with RUNNER=sqlite and the other variables named in
node_peer/server.mjs in the environment, on SQLite. That runner has to be compiled by hand, so ours
on a database is otherwise held to what it was once measured to cost: the reference's figure of this
run times `ON_SQLITE`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .drive import measure
from .scenarios import SCENARIOS
from .serve import HANDLERS, SERVERS

NODE_PEER = Path(__file__).parent / "node_peer"
BASE = "http://127.0.0.1:{port}/api/copilotkit"
START_SECONDS = 60
STOP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Budget:
    """A figure of ours divided by the reference's, and the bound it must keep."""

    figure: str
    title: str
    more_is_better: bool = False
    #: Bound of the ratio against the reference on its memory runner, and on SQLite.
    memory: float | None = None
    sqlite: float | None = None
    #: Good in any case below this: ratios of very small figures are noise.
    good_below: float = 0.0

    def bound(self, runner: str) -> float | None:
        return self.memory if runner == "memory" else self.sqlite

    def holds(self, ours: float, ratio: float, runner: str) -> bool | None:
        bound = self.bound(runner)
        if bound is None:
            return None
        if self.more_is_better:
            return ratio >= bound
        return ratio <= bound or ours <= self.good_below


BUDGETS = (
    Budget("s1/events_per_s", "S1 one fast stream, events/s", True, memory=8, sqlite=8),
    Budget("s7/total_ms", "S7 60,000 deltas in one run, ms", memory=1 / 50, sqlite=1 / 50),
    Budget("s2/first_event_p50", "S2 first event p50, ms", memory=2, sqlite=0.5),
    Budget("s2/first_event_p95", "S2 first event p95, ms"),
    Budget("s3/1/runs_per_s", "S3 short runs/s, 1 at a time", True),
    Budget("s3/64/runs_per_s", "S3 short runs/s, 64 at a time", True, sqlite=3),
    Budget("s3/64/server_cpu_ms_per_run", "S3 server CPU per run, ms"),
    Budget("s4/1000/completed", "S4 1000 paced streams, completed", True, memory=1, sqlite=1),
    Budget("s4/1000/late_p95", "S4 lateness p95, ms", memory=1, sqlite=0.2),
    Budget("s4/1000/first_event_p95", "S4 first event p95, ms", sqlite=1),
    Budget("s4/1000/rss_peak_mb", "S4 peak memory, MB", memory=1, sqlite=1),
    Budget("s5/100/connect_p50", "S5 connect after 100 runs p50, ms"),
    Budget("s5/500/connect_p50", "S5 connect after 500 runs p50, ms", sqlite=1 / 8),
    Budget("s5/500/run_end_p50_last10", "S5 500th run of a thread p50, ms", sqlite=1 / 8),
    Budget(
        *("s6/late_p95", "S6 20 followers, lateness p95, ms"),
        memory=1.5,
        sqlite=1.5,
        good_below=3,
    ),
    Budget("s6/complete", "S6 followers that got everything", True, memory=1, sqlite=1),
)


#: The reference on SQLite divided by the reference in memory, medians of three on two shared cores.
ON_SQLITE = {
    "s1/events_per_s": 1.2,
    "s2/first_event_p50": 4.0,
    "s3/64/runs_per_s": 0.264,
    "s4/1000/late_p95": 3.6,
    "s4/1000/first_event_p95": 2.7,
    "s4/1000/rss_peak_mb": 1.13,
    "s5/500/connect_p50": 8.0,
    "s5/500/run_end_p50_last10": 19.6,
    "s6/late_p95": 0.7,
}


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[dict[str, Any]]:
    """Run a server for the length of the block; yields the JSON line it prints when ready."""
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise RuntimeError(f"{command[0]} ended with status {server.wait(START_SECONDS)}.")
        yield {**json.loads(line), "pid": server.pid}
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()


def figure(result: dict[str, Any], path: str) -> float | None:
    value: Any = result["median"]
    for key in path.split("/"):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, int | float) else None


def table(
    ours: dict[str, Any], peer: dict[str, Any], runner: str, *, scaled: bool
) -> Iterator[tuple[str, bool]]:
    """The rows, each with whether its budget holds. ``scaled``: the reference as if on SQLite."""
    column = f"{runner}, scaled" if scaled else runner
    yield f"| | Node, {column} | {ours['label']} | ratio | must be | |", True
    yield "| --- | ---: | ---: | ---: | ---: | --- |", True
    for budget in BUDGETS:
        theirs, mine = figure(peer, budget.figure), figure(ours, budget.figure)
        if theirs is not None and scaled:
            theirs = float(f"{theirs * ON_SQLITE.get(budget.figure, 1.0):.4g}")
        if theirs is None and mine is None:
            continue
        if not theirs or mine is None:
            yield f"| {budget.title} | {theirs} | {mine} | | | failed |", False
            continue
        ratio = mine / theirs
        bound, holds = budget.bound(runner), budget.holds(mine, ratio, runner)
        sign = "at least" if budget.more_is_better else "at most"
        must = "" if bound is None else f"{sign} {bound:.3g}"
        verdict = {None: "", True: "ok", False: "**missed**"}[holds]
        row = f"| {budget.title} | {theirs:g} | {mine:g} | {ratio:.3g} | {must} | {verdict} |"
        yield row, holds is not False


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runner", choices=("memory", "database"), default="memory", help="ours")
    parser.add_argument("--database", help="URL of our database; a new SQLite file by default")
    parser.add_argument("--server", choices=SERVERS, default="uvicorn")
    parser.add_argument("--handler", choices=HANDLERS, default="ours")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="below 1 for a smoke test")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--node-peer", type=Path, default=NODE_PEER)
    parser.add_argument("--peer-result", type=Path, help="an earlier result of the reference")
    parser.add_argument("--out", type=Path, help="folder for both results as JSON")
    return parser.parse_args(arguments)


def measured(port: int, pid: int, label: str, options: argparse.Namespace) -> dict[str, Any]:
    return asyncio.run(
        measure(
            BASE.format(port=port),
            pid=pid,
            label=label,
            repeats=options.repeats,
            scenarios=options.scenarios.split(","),
            scale=options.scale,
        )
    )


def measure_peer(options: argparse.Namespace) -> dict[str, Any]:
    if options.peer_result:
        return json.loads(options.peer_result.read_text())
    environment = {"COPILOTKIT_TELEMETRY_DISABLED": "true", "NODE_ENV": "production"}
    with started(
        ["node", "server.mjs"], cwd=options.node_peer, env={**environment, **os.environ}
    ) as node:
        return measured(node["ports"]["multi"], node["pid"], f"node-{node['runner']}", options)


def measure_ours(options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.serve"]
    for name in ("runner", "server", "handler", "workers"):
        command += [f"--{name}", str(getattr(options, name))]
    label = f"{options.runner}, {options.server}, handler {options.handler}"
    with tempfile.TemporaryDirectory() as folder:
        if options.runner == "database":
            command += ["--database", options.database or f"sqlite://{folder}/bench.sqlite3"]
        with started(command) as server:
            return measured(server["port"], server["pid"], label, options)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    # Ends the servers too: without a handler the signal would leave them running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    peer, ours = measure_peer(options), measure_ours(options)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "peer.json").write_text(json.dumps(peer, indent=1) + "\n")
        (options.out / "ours.json").write_text(json.dumps(ours, indent=1) + "\n")
    runner = peer["label"].removeprefix("node-")
    scaled = options.runner == "database" and runner == "memory"
    if scaled:
        runner = "sqlite"
    rows = list(table(ours, peer, runner, scaled=scaled))
    for row, _ in rows:
        print(row)
    return 0 if all(kept for _, kept in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
