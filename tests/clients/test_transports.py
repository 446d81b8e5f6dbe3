"""The ways CopilotKitCore reaches a runtime, and what it asks there besides runs."""

import pytest

from .seen import assert_same, ends, shown

FINISHED = "RUN_FINISHED"
UNAUTHENTICATED = {"error": "unauthenticated", "message": "Sign in to use this assistant."}
REFUSED = "Runtime info request failed with status 401: Sign in to use this assistant."


@pytest.mark.parametrize("transport", ["rest", "single", "auto"])
def test_transport__runs_tools_and_stop(play, transport):
    """Every transport runs, answers tools, stops and connects."""
    seen = play(f"transports/{transport}", "core")

    live = seen["live"]
    assert seen["used"] == ("rest" if transport == "auto" else transport)
    assert seen["calls"] == [{"question": "ok?"}]
    texts = [content for role, content in shown(live) if role == "assistant"]
    assert texts[0] == "tok0 tok1 "
    assert texts[-1] == "tok0 tok1 tok2 "
    assert ends(live) == [FINISHED] * 4
    assert live["errors"] == []
    assert_same(live, seen["later"], ["errors"])


@pytest.mark.parametrize("transport", ["rest", "single", "auto"])
def test_transport__login_wall(play, transport):
    """GET and POST are refused alike, in JSON, and the client says why."""
    seen, complaints = play(f"transports/locked_{transport}", "core", complaints=True)

    assert seen["status"] == "error"
    refused = {"code": "runtime_info_fetch_failed", "message": REFUSED}
    assert seen["errors"] == [refused]
    assert all(REFUSED in complaint for complaint in complaints)
    answer = {"status": 401, "type": "application/json", "body": UNAUTHENTICATED}
    assert seen["get"] == seen["post"] == answer


@pytest.mark.parametrize("transport", ["rest", "single"])
def test_suggestions__leave_no_thread(play, transport):
    """Suggestions are shown, and the only thread is the conversation they are for."""
    seen = play(f"transports/suggestions_{transport}", "core")

    assert seen["shown"] == [
        {"title": "Go on", "message": "Please go on", "isLoading": False},
        {"title": "Finish 🏁", "message": "That is all", "isLoading": False},
    ]
    assert seen["threads"] == [seen["live"]["threadId"]]
    assert shown(seen["live"]) == [("user", "text:1"), ("assistant", "tok0 ")]


@pytest.mark.parametrize("form", ["form", "envelope"])
def test_transcription__both_forms(play, form):
    """The microphone is offered, and a recording becomes text."""
    seen = play(f"transports/transcribe_{form}", "core")

    assert seen["enabled"] is True
    assert seen["status"] == 200
    assert seen["body"]["text"].startswith("heard 15 bytes of audio/webm")
    assert seen["body"]["size"] == 15
