"""Server processes, started the way a site starts them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = "tests.servers.project.asgi:application"
PLAIN = "tests.servers.project.plain_asgi:application"

COMMANDS = {
    "uvicorn": ["--host", "127.0.0.1", "--no-access-log", "--timeout-graceful-shutdown", "2"],
    "daphne": ["-b", "127.0.0.1", "--access-log", os.devnull],
}
READY = re.compile(r"(?:running on http://|Listening on TCP address )127\.0\.0\.1:(\d+)")

#: For machines that are busy with something else.
START_SECONDS = 60
STOP_SECONDS = 60
POLL_SECONDS = 0.05

#: Those of this test run, for what a failure report shows.
alive: list[ServerProcess] = []


class NotStarted(AssertionError):
    """The server ended, or said nothing, before it listened."""


class ServerProcess:
    """`python -m daphne` or `python -m uvicorn` on a free port, with what it wrote."""

    def __init__(
        self, server: str, folder: Path, application: str = OURS, **environment: str
    ) -> None:
        self.name = f"{server} {application}"
        self.port = 0
        self._output = folder / f"{server}-{len(list(folder.iterdir()))}.txt"
        inherited = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        command = [sys.executable, "-m", server, *COMMANDS[server], "--port", "0", application]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=inherited | {"PYTHONUNBUFFERED": "1"} | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        alive.append(self)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def wait_until_ready(self) -> Self:
        """Wait until it listens; raises `NotStarted`."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = READY.search(self.output())
            if found:
                self.port = int(found[1])
                return self
            if not self.is_running:
                break
            time.sleep(POLL_SECONDS)
        raise NotStarted(f"{self.name} did not start:\n{self.output()}")

    def terminate(self) -> int:
        """Send SIGTERM and wait for the end; raises TimeoutExpired after `STOP_SECONDS`."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        if self in alive:
            alive.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    # What it holds, as the kernel sees it

    def memory(self) -> int:
        """Bytes it has in memory."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def open_files(self, name: str) -> int:
        """How many descriptors it has open on the file of that path."""
        found = 0
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                found += os.readlink(entry) == name
            except FileNotFoundError:
                continue
        return found


def report(characters: int = 4000) -> Sequence[tuple[str, str]]:
    """The last words of every server of this test run."""
    return [(f"output of {each.name}", each.output()[-characters:]) for each in alive]
