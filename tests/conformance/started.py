"""A conformance server as a process of its own, for the length of a block."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

START_SECONDS = 60
STOP_SECONDS = 10


@contextmanager
def started(*, server: str, runner: str) -> Iterator[dict[str, int]]:
    """Yields the port of each profile. Fails if the server does not stop when told to."""
    command = [sys.executable, "-m", "tests.conformance.serve"]
    command += ["--server", server, "--runner", runner]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # A server that never gets ready would leave the read below waiting.
        watchdog = threading.Timer(START_SECONDS, process.kill)
        watchdog.start()
        try:
            line = process.stdout.readline()
            watchdog.cancel()
            assert line, "The server ended before it was ready."
            yield json.loads(line)["ports"]
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0
        finally:
            watchdog.cancel()
            process.kill()
