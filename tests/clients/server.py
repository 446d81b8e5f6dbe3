"""A server process for the scenarios."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

START_SECONDS = 60
STOP_SECONDS = 60


class Server:
    """`tests.clients.serve` in a process of its own, listening once this is made."""

    def __init__(self, server: str, database: str | None = None) -> None:
        command = [sys.executable, "-m", "tests.clients.serve", "--server", server]
        if database is not None:
            command += ["--database", database]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        # A server that never gets ready would leave the read below waiting.
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        watchdog.cancel()
        assert line, "The server ended before it was ready."
        self.urls: dict[str, str] = json.loads(line)["urls"]

    def stop(self) -> int:
        """Ask it to end, and return its exit status; one that does not end is killed."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.communicate()
