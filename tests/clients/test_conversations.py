"""The official clients see conversations live as they see them when they come back."""

import hashlib
import json

import pytest

from .seen import assert_same, ends, shown

FINISHED = "RUN_FINISHED"

#: What each conversation shows; a conversation's name is that of its scenario.
CONVERSATIONS = {
    "text": [("user", "text:3"), ("assistant", "tok0 tok1 tok2 ")],
    "many_turns": [
        *(("user", "text:1"), ("assistant", "tok0 ")),
        *(("user", "messages:2"), ("assistant", "part 1"), ("assistant", "part 2")),
        *(("user", "whoami"), ("assistant", "agent=default")),
        *(("user", "text:4"), ("assistant", "tok0 tok1 tok2 tok3 ")),
    ],
    "tools": [
        ("user", "tools"),
        ("assistant", {"get_weather": '{"city":"Paris"}'}),
        ("tool", '{"temp":21}'),
        ("assistant", "It is 21 degrees."),
        *(("user", "text:1"), ("assistant", "tok0 ")),
    ],
    "steps": [("user", "steps"), ("assistant", "planning")],
    "reasoning": [
        *(("user", "reasoning"), ("reasoning", "let me think"), ("assistant", "42")),
        *(("user", "text:1"), ("assistant", "tok0 ")),
    ],
    "activity": [
        *(("user", "activity"), ("activity", {"steps": ["a", "b"]})),
        *(("user", "text:1"), ("assistant", "tok0 ")),
    ],
    "custom": [("user", "custom"), ("assistant", "done")],
    "subagent": [("user", "subagent"), ("assistant", "sub")],
    "snapshot": [
        *(("user", "text:1"), ("assistant", "tok0 ")),
        *(("user", "snapshot"), ("assistant", "from snapshot")),
    ],
    "characters": [
        ("user", "unicode"),
        (
            "assistant",
            "héllo 日本語 👩\u200d💻 line\nbreak\r\nsep\u2028\u2029"
            'quote"back\\slashtab\tnul\0\U0001f600',
        ),
        ("user", "halves"),
        ("assistant", "día 😀 日本👩\u200d💻"),
    ],
    "big": [("user", "big:200"), ("assistant", "x" * 200 * 1024)],
    "odd_thread_id": [
        *(("user", "text:1"), ("assistant", "tok0 ")),
        *(("user", "hang:1"), ("assistant", "tok0 ")),
    ],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversation__live_and_later(play, client, name):
    """Messages, their ids and custom events are the same; no run fails and nobody complains."""
    seen = play(f"conversations/{name}", client)

    live = seen["live"]
    assert shown(live) == CONVERSATIONS[name]
    assert set(ends(live)) == {FINISHED}
    assert live["errors"] == []
    assert_same(live, seen["later"], ["customs", "errors"])


def test_conversation__chunks(play, client):
    """Text and a tool call that came as chunks are one message, live and later."""
    seen = play("conversations/chunks", client)

    user, assistant = seen["live"]["messages"]
    assert user["content"] == "chunks"
    assert assistant["content"] == "Hello"
    assert [call["function"]["arguments"] for call in assistant["toolCalls"]] == ['{"a":1}']
    assert_same(seen["live"], seen["later"], ["errors"])


def test_custom_event__later(play, client):
    """What a custom event carries arrives untouched."""
    seen = play("conversations/custom", client)

    progress = {"name": "progress", "value": {"pct": 50, "label": "half"}}
    assert seen["live"]["customs"] == [progress]


def test_state__snapshot_and_deltas(play, client):
    """The state is what the deltas of all runs made of it."""
    seen = play("conversations/state", client)

    assert seen["live"]["state"] == {"count": 1, "items": ["a", "b"], "done": True, "n": 5}
    assert_same(seen["live"], seen["later"], ["errors"])


def test_state__deltas_on_what_the_page_sent(play, client):
    """A delta on the state a page brought along brings that back, too."""
    seen = play("conversations/state_of_the_page", client)

    assert seen["live"]["state"] == {"page": {"open": [1, None]}, "n": 7}
    assert_same(seen["live"], seen["later"], ["errors"])


def test_attachment__200_kilobytes(play, client):
    """The agent gets every byte of an attachment, and the history has it, too."""

    seen = play("conversations/attachment", client)

    value = seen["value"]
    user, assistant = seen["live"]["messages"]
    assert user["content"][1]["source"]["value"] == value
    [[size, digest]] = json.loads(assistant["content"])
    assert size == len(value) > 200 * 1024
    assert digest == hashlib.sha256(value.encode()).hexdigest()
    assert_same(seen["live"], seen["later"], ["errors"])


def test_unknown_thread__connect(play, client):
    """A thread nobody wrote in is empty, and no error."""
    view = play("conversations/unknown_thread", client)

    assert view["messages"] == view["errors"] == view["runs"] == []
