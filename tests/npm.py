"""The npm packages of a folder of tests, installed when a test first needs them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

INSTALL_SECONDS = 100
INSTALL = [
    *("npm", "ci", "--legacy-peer-deps", "--no-audit", "--no-fund", "--ignore-scripts"),
    "--loglevel=error",
]


@dataclass(frozen=True)
class Packages:
    folder: Path

    @property
    def _lock(self) -> Path:
        return self.folder / "package-lock.json"

    @property
    def _stamp(self) -> Path:
        # scripts/node-packages leaves the same one.
        return self.folder / "node_modules" / ".lock"

    def installed(self) -> str | None:
        """Where the packages are, or None if not those that are locked."""
        if self._stamp.exists() and self._stamp.read_bytes() == self._lock.read_bytes():
            return str(self._stamp.parent)
        return None

    def install(self) -> None:
        """Install what is missing. Quiet where that does not work: `installed` tells."""
        if self.installed():
            return
        try:
            result = subprocess.run(INSTALL, cwd=self.folder, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return
        if result.returncode == 0:
            self._stamp.write_bytes(self._lock.read_bytes())
