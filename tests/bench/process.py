"""What a server process and its children cost, read from /proc."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import TracebackType
from typing import Self

SAMPLE_SECONDS = 0.1


class Server:
    """The process under test. `pid` 0: not known, and every figure is None."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def rss_mb(self) -> float | None:
        if not self.pid:
            return None
        total = 0
        for pid in set(family(self.pid)):
            for line in read(f"/proc/{pid}/status").splitlines():
                if line.startswith("VmRSS"):
                    total += int(line.split()[1])
        return round(total / 1024, 1)

    def cpu_seconds(self) -> float | None:
        if not self.pid:
            return None
        ticks = 0
        for pid in set(family(self.pid)):
            if stat := read(f"/proc/{pid}/stat"):
                fields = stat.rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def cpu_since(self, before: float | None) -> float | None:
        after = self.cpu_seconds()
        return None if before is None or after is None else after - before


def family(pid: int) -> list[int]:
    """A process and everything it started."""
    found = [pid]
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        for child in read(f"/proc/{pid}/task/{thread}/children").split():
            found += family(int(child))
    return found


def read(path: str) -> str:
    """The text of a file of /proc, empty if the process is gone."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


class PeakMemory:
    """Samples the memory of a server while the block runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._task: asyncio.Task[None] | None = None
        self.before = self.peak = self.after = server.rss_mb()

    async def __aenter__(self) -> Self:
        if self._server.pid:
            self._task = asyncio.create_task(self._sample())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
        self.after = self._server.rss_mb()

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            self.peak = max(self.peak or 0, self._server.rss_mb() or 0)
