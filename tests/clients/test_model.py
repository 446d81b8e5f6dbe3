"""The built-in agent, as the official clients see it."""

from __future__ import annotations

from .seen import assert_same, ends

FINISHED = "RUN_FINISHED"


def roles(view) -> list[str]:
    return [message["role"] for message in view["messages"]]


def test_page_tool__answered(play, client):
    """A call of the model reaches the page; what the page answers reaches the model."""
    seen = play("model/page_tool", client)

    live = seen["live"]
    assert seen["calls"] == [{"question": "ok?"}]
    assert roles(live) == ["user", "assistant", "tool", "assistant"]
    called, result = live["messages"][1:3]
    assert called["content"] == "Look:"
    assert [call["id"] for call in called["toolCalls"]] == [result["toolCallId"]]
    assert live["messages"][-1]["content"] == 'said: {"ok":true}'
    assert ends(live) == [FINISHED, FINISHED]
    assert live["errors"] == []
    assert_same(live, seen["later"], ["errors"])


def test_approval__given(play, client):
    """A tool of the server that asks first waits for the person, then is carried out."""
    seen = play("model/approval", client)

    (interrupt,) = seen["asked"]["interrupts"]
    assert interrupt["message"] == "Wipe it?"
    assert interrupt["id"] == interrupt["toolCallId"]
    assert seen["asked"]["state"] == {}
    live = seen["live"]
    assert roles(live) == ["user", "assistant", "tool", "assistant"]
    assert live["messages"][2]["content"] == '"x is gone."'
    assert live["messages"][-1]["content"] == "said: x is gone."
    assert live["state"] == {"wiped": "x"}
    assert live["errors"] == live["interrupts"] == []
    assert_same(live, seen["later"], ["interrupts", "errors"])


def test_state__changed(play, client):
    """What the model does to the state is what the page and later readers have."""
    seen = play("model/state", client)

    live = seen["live"]
    assert live["state"] == {"items": [1]}
    assert roles(live) == ["user", "assistant", "tool", "assistant"]
    assert ends(live) == [FINISHED]
    assert_same(live, seen["later"], ["errors"])


def test_reasoning__shown(play, client):
    """What the model thinks is a message of its own, and does not get in the way of the next."""
    seen = play("model/reasoning", client)

    live = seen["live"]
    assert roles(live) == ["user", "reasoning", "assistant", "user", "assistant"]
    assert [message["content"] for message in live["messages"]] == [
        *("think", "Hm.", "Yes."),
        *("and?", "heard: and?"),
    ]
    assert_same(live, seen["later"], ["errors"])
