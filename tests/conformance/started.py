"""A server of the tests as a process of its own, for the length of a block."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

START_SECONDS = 60
STOP_SECONDS = 60


@contextmanager
def started(module: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """Run ``python -m module``; yields the JSON line that says it is ready.

    Fails if the server does not stop when told to.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # A server that never gets ready would leave the read below waiting.
        watchdog = threading.Timer(START_SECONDS, process.kill)
        watchdog.start()
        try:
            line = process.stdout.readline()
            watchdog.cancel()
            assert line, "The server ended before it was ready."
            yield json.loads(line)
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0
        finally:
            watchdog.cancel()
            process.kill()
