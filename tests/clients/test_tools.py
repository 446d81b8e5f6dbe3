"""Tools that run in the page, and agents that wait for an answer of the user."""

import pytest

from .seen import assert_same, ends, shown

FINISHED = "RUN_FINISHED"


def test_frontend_tool__answered(play, client):
    """The page runs the tool, and its result reaches the agent in a run of its own."""
    seen = play("tools/answered", client)

    live = seen["live"]
    assert [call["args"] for call in seen["calls"]] == [{"question": "ok?"}]
    assert shown(live) == [
        ("user", "confirm"),
        ("assistant", {"confirm": '{"question":"ok?"}'}),
        ("tool", '{"ok":true}'),
        ("assistant", 'confirmed: {"ok":true}'),
    ]
    assert live["messages"][2]["toolCallId"] == seen["calls"][0]["id"]
    first, second = live["runs"]
    assert first["runId"] != second["runId"]
    assert ends(live) == [FINISHED, FINISHED]
    assert_same(live, seen["later"], ["errors"])


def test_frontend_tool__handler_fails(play):
    """The failure is told to the agent with the next message, and is in the history."""
    seen = play("tools/handler_fails", "core")

    live = seen["live"]
    assert [error["code"] for error in live["errors"]] == ["tool_handler_failed"]
    assert shown(live) == [
        ("user", "confirm"),
        ("assistant", {"confirm": '{"question":"ok?"}'}),
        ("tool", "Error: the page is broken"),
        *(("user", "text:1"), ("assistant", "tok0 ")),
    ]
    assert_same(live, seen["later"])


def test_frontend_tool__opened_later(play, client):
    """Opening a thread runs none of its tools."""
    seen = play("tools/opened_later", client)

    assert seen["calls"] == []
    assert seen["later"]["messages"] == seen["live"]["messages"]


@pytest.mark.parametrize("way", ["new_run", "same_run", "after_a_reload"])
def test_interrupt__resumed(play, client, way):
    """The answer reaches the agent, whatever id the run has that brings it."""
    seen = play(f"interrupts/{way}", client)

    [interrupt] = seen["asked"]["interrupts"]
    assert seen["reloaded"]["interrupts"] == [interrupt]
    assert interrupt["message"] == "Proceed?"
    live = seen["live"]
    assert shown(live) == [
        *(("user", "approve"), ("assistant", "need approval")),
        ("assistant", '{"approved": true}'),
        *(("user", "text:1"), ("assistant", "tok0 ")),
    ]
    asked, resumed, further = (run["runId"] for run in live["runs"])
    assert (asked == resumed) is (way != "new_run")
    assert further not in (asked, resumed)
    assert live["interrupts"] == live["errors"] == []
    assert_same(live, seen["later"], ["interrupts", "errors"])
