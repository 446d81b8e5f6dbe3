"""The demo as a site: a server process with a database of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.serving import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
#: For machines that are busy with something else.
SECONDS = 60
POLL_SECONDS = 0.05

COMMANDS = {
    "daphne": ["-m", "daphne", "-b", HOST, "-p", "{port}", "demo_project.asgi:application"],
    "runserver": ["manage.py", "runserver", "--noreload", f"{HOST}:{{port}}"],
    "reloader": ["manage.py", "runserver", f"{HOST}:{{port}}"],
}


def migrated_database(folder: Path) -> Path:
    """The file of an empty database, for sites to copy."""
    file = folder / "empty.sqlite3"
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=environment(DEMO_DATABASE=str(file)),
        check=True,
        timeout=SECONDS,
    )
    return file


def environment(**ours: str) -> dict[str, str]:
    """What the demo sees: nothing of the settings of this test run."""
    foreign = ("DJANGO_", "DEMO_", "COVERAGE_", "OPENAI_", "ANTHROPIC_", "GOOGLE_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return inherited | {"PYTHONUNBUFFERED": "1"} | ours


class Demo:
    """The demo, served by `daphne` or `runserver`. Killed and started again it is the same site."""

    def __init__(
        self,
        folder: Path,
        database: Path,
        *,
        server: str = "daphne",
        beside: Demo | None = None,
        **ours: str,
    ) -> None:
        folder.mkdir()
        if beside is None:
            self.database = folder / "demo.sqlite3"
            shutil.copy(database, self.database)
        else:
            # Another process of the same site.
            self.database = beside.database
        self._hold = folder / "hold"
        self._environment = environment(
            DEMO_DATABASE=str(self.database), TEST_HOLD=str(self._hold), **ours
        )
        self._server = server
        self._log = folder / "server.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> Self:
        """Return once it listens."""
        command = [part.format(port=self.port) for part in COMMANDS[self._server]]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # With a group of its own, for the process that the reloader starts.
                start_new_session=True,
            )
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection((HOST, self.port), 1).close()
            except OSError:
                time.sleep(POLL_SECONDS)
            else:
                return self
        self.kill()
        raise AssertionError(f"The {self._server} did not start:\n{self.log()}")

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def interrupt(self) -> None:
        """End it as Ctrl-C in its terminal does."""
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            self._process.wait(SECONDS)
            # Its number may be somebody else's soon.
            self._process = None

    @contextlib.contextmanager
    def held(self, after: int = 60) -> Iterator[None]:
        """Within it whoever speaks on the site stops after so many words of a text.

        Of a site with the settings `tests.browser.unhurried`. What is said ends after the block.
        """
        self.hold(after)
        try:
            yield
        finally:
            self._hold.unlink()

    def hold(self, after: int) -> None:
        """Within `held`: have it go on, and stop after that many words."""
        new = self._hold.with_suffix(".new")
        new.write_text(str(after))
        new.replace(self._hold)

    def manage(self, *arguments: str) -> None:
        """Run a management command of the site."""
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self._environment,
            check=True,
            capture_output=True,
            timeout=SECONDS,
        )

    def log(self, characters: int = 3000) -> str:
        """The last it wrote."""
        return self._log.read_text(errors="replace")[-characters:]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
