"""The npm packages of the official clients, installed when a test first needs them."""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE / "package-lock.json"
#: scripts/node-packages leaves the same stamp.
STAMP = HERE / "node_modules" / ".lock"
INSTALL_SECONDS = 100
INSTALL = [
    *("npm", "ci", "--legacy-peer-deps", "--no-audit", "--no-fund", "--ignore-scripts"),
    "--loglevel=error",
]


def installed() -> str | None:
    """Where the packages are, or None if not those that are locked."""
    if STAMP.exists() and STAMP.read_bytes() == LOCK.read_bytes():
        return str(STAMP.parent)
    return None


def install() -> None:
    """Install what is missing. Quiet where that does not work: `installed` tells."""
    if installed():
        return
    try:
        result = subprocess.run(INSTALL, cwd=HERE, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return
    if result.returncode == 0:
        STAMP.write_bytes(LOCK.read_bytes())
