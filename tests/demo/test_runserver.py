"""What the development server leaves behind."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.demo import Demo, migrated_database

#: For machines that are busy with something else.
SECONDS = 60


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with Demo(tmp_path / "site", migrated_database(tmp_path), server="reloader") as demo:
        yield demo


def events_of(visitor: httpx.Client, text: str, most: int = 1000) -> list[dict[str, Any]]:
    """Say something to the writer in the one thread of these tests; returns at most so many."""
    question = {"id": str(uuid.uuid4()), "role": "user", "content": text}
    body = {"threadId": "kept", "runId": question["id"], "messages": [question]} | {
        "tools": [],
        "context": [],
        "state": {},
        "forwardedProps": {},
    }
    found: list[dict[str, Any]] = []
    with visitor.stream("POST", "/api/copilotkit/agent/writer/run", json=body) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if line.startswith("data:"):
                found.append(json.loads(line.removeprefix("data:")))
            if len(found) == most:
                break
    return found


def test_runserver__ended_in_the_middle(demo):
    """Whoever reloads the code during an answer can go on at once; the lease lasts for 15 s."""
    with httpx.Client(
        base_url=demo.url, headers={"origin": demo.url}, timeout=SECONDS, trust_env=False
    ) as visitor:
        visitor.get("/").raise_for_status()
        assert len(events_of(visitor, "write about cats", most=3)) == 3

        demo.interrupt()
        demo.start()

        events = events_of(visitor, "write about dogs")
    assert events[0]["type"] == "RUN_STARTED"
    assert events[-1]["type"] == "RUN_FINISHED", events[-1]
