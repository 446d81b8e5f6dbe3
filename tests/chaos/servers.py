"""Server processes that share a store, to be killed, frozen and looked at."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import tests

ROOT = Path(tests.__file__).resolve().parent.parent

#: For machines that are busy with something else.
START_SECONDS = 60
STOP_SECONDS = 20


class NotStarted(AssertionError):
    """The server ended, or said nothing, before it listened."""


class ChaosServer:
    """One process of `tests.chaos.serve` on a free port."""

    def __init__(
        self,
        name: str,
        url: str,
        output: Path,
        *,
        lease: float,
        redis: str | None,
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self.port = 0
        self._output = output
        command = [sys.executable, "-m", "tests.chaos.serve", "--server", name]
        command += ["--runner", "database", "--database", url, "--lease", str(lease)]
        if redis is not None:
            command += ["--redis", redis]
        inherited = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        with output.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=inherited | {"PYTHONUNBUFFERED": "1"} | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Wait until it says where it listens; raises `NotStarted`."""
        assert self.process.stdout is not None
        said = b""
        deadline = time.monotonic() + START_SECONDS
        while b"\n" not in said:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, left))
            more = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not more:
                raise NotStarted(f"{self.name} did not start:\n{self.output()}")
            said += more
        self.port = json.loads(said.split(b"\n")[0])["port"]

    def kill(self) -> None:
        """SIGKILL: it gets no chance to do anything."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def freeze(self) -> None:
        """Return once none of its threads does anything any more."""
        self.process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_SECONDS
        while set(self._states()) != {"T"}:
            assert time.monotonic() < deadline, f"{self.name} does not stand still"
            time.sleep(0.001)

    def _states(self) -> list[str]:
        """What each of its threads does, as the kernel abbreviates it."""
        found = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return [file.read_text().rpartition(")")[2].split()[0] for file in found]

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def rss_mb(self) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0


class Servers:
    """The servers of one test, on one store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.all: list[ChaosServer] = []

    async def start(
        self,
        *names: str,
        url: str,
        lease: float = 15.0,
        redis: str | None = None,
        **environment: str,
    ) -> list[ChaosServer]:
        """Start servers and wait until all of them listen: the first one makes the tables.

        A short lease is for tests that wait for its end: where a process gets no processor for two
        thirds of it, its runs are ended by another.
        """
        environment = {"CHAOS_CUES": str(self._folder), **environment}
        started: list[ChaosServer] = []
        for name in names:
            if len(started) == 1:
                await asyncio.to_thread(started[0].wait_until_ready)
            output = self._folder / f"{name}-{len(self.all)}.txt"
            server = ChaosServer(
                name, url, output, lease=lease, redis=redis, environment=environment
            )
            started.append(server)
            self.all.append(server)
        waiting = [asyncio.to_thread(each.wait_until_ready) for each in started if not each.port]
        await asyncio.gather(*waiting)
        return started

    def cue(self, thread: str) -> None:
        """Have the run of a thread go on that waits for its cue."""
        (self._folder / f"{thread}.cue").touch()

    def kill_all(self) -> None:
        for server in self.all:
            server.kill()

    def report(self, characters: int = 3000) -> list[tuple[str, str]]:
        """The last words of each."""
        return [
            (f"output of {server.name} {number}", server.output()[-characters:])
            for number, server in enumerate(self.all)
        ]
