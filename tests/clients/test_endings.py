"""Runs that were stopped or failed stay in the history, and the conversation goes on."""

import json

import pytest

from .seen import assert_same, ends, errors, shown

FINISHED = "RUN_FINISHED"
NEXT = [("user", "text:2"), ("assistant", "tok0 tok1 ")]
STOPPED_TOOL = {
    "status": "stopped",
    "reason": "stop_requested",
    "message": "Run stopped by user",
}
TOOL = [("assistant", {"get_weather": '{"city":'}), ("tool", STOPPED_TOOL)]

#: What is left of a run stopped there.
STOPPED = {
    "stop_in_text": [("user", "hang:3"), ("assistant", "tok0 tok1 tok2 ")],
    "stop_in_tool": [("user", "hangtool"), *TOOL],
    "stop_in_reasoning": [("user", "hangreasoning"), ("reasoning", "half a thought")],
    "stop_in_step": [("user", "hangstep"), ("assistant", "planning")],
    "stop_in_everything": [
        ("user", "hangeverything"),
        ("reasoning", "half a thought"),
        ("assistant", "half a text"),
        *TOOL,
    ],
    "stop_at_the_start": [("user", "hang:0"), ("assistant", "")],
    "stop_that_throws": [("user", "hangthrow:2"), ("assistant", "tok0 tok1 ")],
}

#: What is left of a run that failed, and the code of its error.
FAILED = {
    "error_in_text": ([("user", "error"), ("assistant", "partial answer ")], "INCOMPLETE_STREAM"),
    "error_at_once": ([("user", "error0")], "INCOMPLETE_STREAM"),
    "error_of_the_agent": ([("user", "runerror"), ("assistant", "partial ")], "SCRIPTED"),
    "no_end": ([("user", "noend"), ("assistant", "partial answer ")], "INCOMPLETE_STREAM"),
    "no_event": ([("user", "empty")], "INCOMPLETE_STREAM"),
    "wrong_order": ([("user", "badorder")], "INCOMPLETE_STREAM"),
    "open_at_the_end": ([("user", "openfinish"), ("assistant", "x")], "INCOMPLETE_STREAM"),
}


def parsed(messages):
    """With the results of tools as what they mean."""
    return [(role, json.loads(what) if role == "tool" else what) for role, what in messages]


@pytest.mark.parametrize("name", STOPPED)
def test_stop__then_another_run(play, client, name):
    """What had come stays, live and later; stopping is no error."""
    seen = play(f"endings/{name}", client)

    live = seen["live"]
    assert parsed(shown(seen["stopped"])) == STOPPED[name]
    assert parsed(shown(live)) == STOPPED[name] + NEXT
    assert ends(live) == [FINISHED, FINISHED]
    assert live["errors"] == []
    assert_same(live, seen["later"], ["errors"])


@pytest.mark.parametrize("name", FAILED)
def test_failure__then_another_run(play, client, name):
    """The error is told, what had come stays, and the next message is answered."""
    left, code = FAILED[name]
    seen = play(f"endings/{name}", client)

    live = seen["live"]
    assert shown(seen["failed"]) == left
    assert shown(live) == left + NEXT
    assert ends(live) == [code, FINISHED]
    expected = "agent_run_error_event" if client == "core" else "run_error"
    assert errors(live) == [(expected, code)]
    assert_same(live, seen["later"])


def test_failure__in_a_tool_call(play, client):
    """An unfinished tool call is closed with a result that says so."""
    seen = play("endings/error_in_tool", client)

    user, call, (_, result), *following = parsed(shown(seen["live"]))
    assert [user, call] == [("user", "errortool"), TOOL[0]]
    assert result["status"] == "error"
    assert following == NEXT
    assert_same(seen["live"], seen["later"])


def test_failure__text_of_a_foreign_exception(play, client):
    """What the agent's exception says is not for the user's eyes."""
    seen = play("endings/error_in_text", client)

    [error] = seen["live"]["errors"]
    assert "boom" not in error["message"]
    assert "Incident" in error["message"]
