"""The thread list of CopilotKitCore: what it shows at once is what the server has."""

import pytest

TRANSPORTS = ["rest", "single"]


def row(thread_id, name=None, *, archived=False):
    return {"id": thread_id, "name": name, "archived": archived}


def both(*rows):
    """The same shown at once, and by the server when asked again."""
    return {"shown": list(rows), "stored": list(rows)}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_threads__listed(play, transport):
    """One's own threads with the agent, the latest first."""
    seen = play(f"threads/{transport}", "core")

    assert seen["listed"] == both(row("t-3"), row("t-2"), row("t-1"))
    assert seen["state"]["errors"] == [None, None]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_threads__renamed(play, transport):
    """A new name is kept, and does not move the thread."""
    seen = play(f"threads/{transport}", "core")

    assert seen["renamed"] == both(row("t-3"), row("t-2"), row("t-1", "Named ☕"))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_threads__archived(play, transport):
    """An archived thread is listed to those who ask for such."""
    seen = play(f"threads/{transport}", "core")

    named = row("t-1", "Named ☕")
    assert seen["archived"] == both(row("t-3"), row("t-2", archived=True), named)
    assert seen["unarchived"] == [row("t-3"), named]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_threads__restored(play, transport):
    """A thread comes back from the archive to where it was."""
    seen = play(f"threads/{transport}", "core")

    assert seen["restored"] == both(row("t-3"), row("t-2"), row("t-1", "Named ☕"))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_threads__deleted(play, transport):
    """A deleted thread is gone from the list, and its messages with it."""
    seen = play(f"threads/{transport}", "core")

    assert seen["deleted"] == both(row("t-2"), row("t-1", "Named ☕"))
    assert seen["gone"]["messages"] == seen["gone"]["errors"] == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_threads__pages(play, transport):
    """A page holds as many as asked for, and the next one follows it without a gap."""
    seen = play(f"threads/pages_{transport}", "core")

    assert seen["first"]["shown"] == [row("t-3"), row("t-2")]
    assert seen["first"]["more"] is True
    assert seen["second"]["shown"] == [row("t-3"), row("t-2"), row("t-1")]
    assert seen["second"]["more"] is False
    assert seen["second"]["errors"] == [None, None]


def test_threads__odd_ids(play):
    """An id full of slashes and signs can be renamed and deleted."""
    seen = play("threads/odd_ids", "core")

    assert seen["renamed"] == both(row(seen["threadId"], "odd"))
    assert seen["deleted"] == both()
    assert seen["state"]["errors"] == [None, None]


def test_threads__deleted_meanwhile(play):
    """Changing a thread that somebody deleted fails, and does not bring it back."""
    seen = play("threads/deleted_meanwhile", "core")

    assert seen["rename"] == "Request failed: 404"
    assert seen["rows"]["stored"] == [row("t-3"), row("t-2")]
