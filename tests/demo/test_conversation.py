"""The demo as a visitor meets it: page, agents, approvals, through the runtime."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One conversation with the demo; see conversation.py for what is said."""
    database = tmp_path_factory.mktemp("demo") / "demo.sqlite3"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "demo_project.settings",
        "DEMO_DATABASE": str(database),
        "DJANGO_DEBUG": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo.conversation"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def text(events: list[dict[str, Any]]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "TEXT_MESSAGE_CONTENT")


def todos(events: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    last = [e["snapshot"] for e in events if e["type"] == "STATE_SNAPSHOT"][-1]
    return [(todo["title"], todo["done"]) for todo in last["todos"]]


def test_page__first_visit(said):
    """The page comes with an empty list and forbids inline scripts."""
    assert said["first page"]["status"] == 200
    assert said["first page"]["todos"] == []
    assert "default-src 'self'" in said["first page"]["policy"]


def test_todo__shares_its_state(said):
    """Every change reaches the page as a new state."""
    assert todos(said["add"]) == [("Buy milk", False), ("Call Bob", False)]
    assert todos(said["done"]) == [("Buy milk", True), ("Call Bob", False)]
    assert text(said["done"]) == "Ticked off “Buy milk”."


def test_todo__uses_tools(said):
    """What it does are calls of tools, which any agent with a model could make."""
    starts = [e["toolCallName"] for e in said["add"] if e["type"] == "TOOL_CALL_START"]
    results = [json.loads(e["content"]) for e in said["add"] if e["type"] == "TOOL_CALL_RESULT"]

    assert starts == ["create_todo", "create_todo"]
    assert [result["title"] for result in results] == ["Buy milk", "Call Bob"]
    assert set(results[0]) == {"id", "title", "done"}


def test_todo__asks_before_deleting(said):
    """Deleting waits for an approval and does nothing without one."""
    outcome = said["ask"][-1]["outcome"]

    assert outcome["type"] == "interrupt"
    assert outcome["interrupts"][0]["message"] == "Delete “Buy milk”?"
    assert text(said["cancelled"]) == "Alright, everything stays."
    assert len(said["page before"]["todos"]) == 2


def test_todo__approval_of_somebody_else(said):
    """A question put to one visitor cannot be answered by another."""
    assert "Deleted" not in text(said["stolen"])
    assert "not on the list any more" in text(said["forged"])


def test_todo__approved(said):
    """Once approved it is gone, for the page too."""
    assert text(said["approved"]) == "Deleted “Buy milk”."
    assert [todo["title"] for todo in said["page after"]["todos"]] == ["Call Bob"]


def test_page__another_visitor(said):
    """Lists are private."""
    assert said["page of another"]["todos"] == []


def test_todo__paints_the_page(said):
    """The call is left to the page, and its result is answered."""
    calls = [e["toolCallName"] for e in said["paint"] if e["type"] == "TOOL_CALL_START"]

    assert calls == ["setAccent"]
    assert not any(e["type"] == "TOOL_CALL_RESULT" for e in said["paint"])
    assert text(said["painted"])


def test_todo__suggests(said):
    """Suggestions fit the list and come as the tool call the client expects."""
    arguments = "".join(e["delta"] for e in said["suggest"] if e["type"] == "TOOL_CALL_ARGS")
    suggestions = json.loads(arguments)["suggestions"]

    assert len(suggestions) == 3
    assert suggestions[0]["message"] == "Done “Call Bob”"


def test_almanac__own_endpoint(said):
    """The almanac speaks AG-UI without the runtime."""
    assert [said["almanac"][0]["type"], said["almanac"][-1]["type"]] == [
        "RUN_STARTED",
        "RUN_FINISHED",
    ]
    assert "2028" in text(said["almanac"])
