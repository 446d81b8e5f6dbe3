"""More than one client on a thread, and clients that come and go."""

import pytest

from .seen import assert_same, ends, errors, shown

FINISHED = "RUN_FINISHED"
GATED = [("user", "gated"), ("assistant", "before and after")]


def test_connect__in_mid_run(play, client):
    """Who joins in mid-run ends with the same messages as who started it."""
    seen = play("together/joined_in_mid_run", client)

    assert shown(seen["live"]) == [("user", "text:1"), ("assistant", "tok0 "), *GATED]
    assert_same(seen["live"], seen["later"], ["errors"])


def test_connect__with_everything_open(play, client):
    """The same with a text, a tool call, reasoning and a step open, and a stop at last."""
    seen = play("together/joined_with_everything_open", client)

    roles = [message["role"] for message in seen["live"]["messages"]]
    assert roles == ["user", "reasoning", "assistant", "assistant", "tool"]
    for view in seen["later"].values():
        assert ends(view) == [FINISHED]
    assert_same(seen["live"], seen["later"], ["errors"])


def test_connect__broken_off(play, client):
    """A connect that is broken off costs the next one nothing."""
    seen = play("together/broken_off", client)

    assert seen["joined"]["messages"] == seen["live"]["messages"]
    assert seen["joined"]["errors"] == []


def test_connect__after_looking_elsewhere(play):
    """Coming back to a thread in mid-run brings its messages, and nothing from elsewhere."""
    seen = play("together/switched", "core")

    assert seen["elsewhere"]["messages"] == []
    assert shown(seen["live"]) == GATED
    assert_same(seen["live"], seen["later"], ["errors"])


def test_run__thread_is_busy(play, client):
    """A second run is refused with an error one can see, and disturbs nobody."""
    seen = play("together/busy", client)

    expected = "agent_run_error_event" if client == "core" else "run_error"
    assert errors(seen["during"]) == [(expected, "THREAD_BUSY")]
    assert shown(seen["during"]) == [("user", "whoami")]
    assert shown(seen["first"]) == [("user", "hang:2"), ("assistant", "tok0 tok1 ")]
    assert seen["first"]["errors"] == []


def test_run__thread_is_free_again(play, client):
    """Once the thread is free, the refused client's messages join those of the other."""
    seen = play("together/busy", client)

    refused = [("user", "whoami"), ("user", "text:1"), ("assistant", "tok0 ")]
    assert ends(seen["live"]) == ["THREAD_BUSY", FINISHED]
    assert shown(seen["live"]) == refused
    both = {**seen["first"], "messages": seen["first"]["messages"] + seen["live"]["messages"]}
    assert_same(both, seen["later"], ["errors"])


def test_run__supersedes(play, client):
    """Where runs supersede, the first ends without an error and the second is answered."""
    seen = play("together/superseded", client)

    assert shown(seen["first"]) == [("user", "hang:2"), ("assistant", "tok0 tok1 ")]
    assert ends(seen["first"]) == [FINISHED]
    assert shown(seen["during"]) == [("user", "whoami"), ("assistant", "agent=default")]
    assert ends(seen["live"]) == [FINISHED, FINISHED]
    assert seen["first"]["errors"] == seen["live"]["errors"] == []
    assert_same(seen["live"], seen["later"], ["errors"])


def test_stop__by_another_client(play, client):
    """Who joined a run can stop it, for everybody."""
    seen = play("together/stopped_by_another", client)

    assert shown(seen["live"]) == [("user", "hang:3"), ("assistant", "tok0 tok1 tok2 ")]
    assert ends(seen["live"]) == ends(seen["joined"]) == [FINISHED]
    assert_same(seen["live"], {"joined": seen["joined"], **seen["later"]}, ["errors"])


@pytest.mark.parametrize("client", ["agui-0", "agui-1"])
def test_run__client_left(play, client):
    """A closed tab does not stop the run: whoever comes back gets all of it."""
    seen = play("together/left", client)

    assert shown(seen["live"]) == [("user", "gated"), ("assistant", "before ")]
    for view in seen["later"].values():
        assert shown(view) == GATED
        assert view["errors"] == []


def test_thread__of_somebody_else(play, client):
    """A thread id means another thread for another user."""
    seen = play("together/not_yours", client)

    assert seen["seen"]["messages"] == []
    assert shown(seen["live"]) == [("user", "whoami"), ("assistant", "agent=default")]
    for view in seen["later"].values():
        assert shown(view) == [("user", "text:1"), ("assistant", "tok0 ")]
