"""What the official clients make of a thread that went through something."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests import services
from tests.chaos.servers import ChaosServer
from tests.clients import packages

HERE = Path(__file__).resolve().parent
REPLAY_SECONDS = 120


async def views(server: ChaosServer, *threads: str) -> dict[str, dict[str, Any]]:
    """What each client shows of each thread; empty where the clients are not installed."""
    node = services.find("node")
    if node is None or packages.installed() is None:
        return {}
    process = await asyncio.create_subprocess_exec(
        *(node, "replay.mjs", f"http://127.0.0.1:{server.port}/api/copilotkit", *threads),
        cwd=HERE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(REPLAY_SECONDS):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    shown: dict[str, dict[str, Any]] = json.loads(out)
    return shown


def assert_shown(views: dict[str, dict[str, Any]], thread: str, *texts: str) -> None:
    """Every client shows these answers on a thread, in this order."""
    for client, view in views.get(thread, {}).items():
        answers = [m["content"] for m in view["messages"] if m["role"] == "assistant"]
        assert answers == list(texts), (client, view)
