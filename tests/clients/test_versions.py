"""Clients of AG-UI 0.0.59 and of 1.0 on the same thread: each is told all it can understand."""

from .seen import assert_same, shown

FINISHED = "RUN_FINISHED"
PARTS = [
    {"type": "text", "text": "a chart"},
    {"type": "image", "source": {"type": "file", "value": "file-1", "provider": "cloud"}},
]
OLD_CLIENTS = ("core", "agui-0")


def result_of_the_tool(view):
    [content] = [content for role, content in shown(view) if role == "tool"]
    return content


def without_tool_result(view):
    return [message for message in view["messages"] if message["role"] != "tool"]


def test_version__declared(play):
    """A client that declares its version is told ours."""
    seen = play("versions/new_forms", "agui-1")

    assert {run["protocolVersion"] for run in seen["live"]["runs"]} == {"1.0"}


def test_new_forms__live(play, client):
    """A tool result in parts is text for a client that knows only text."""
    live = play("versions/new_forms", client)["live"]

    assert shown(live) == [
        ("user", "parts"),
        ("assistant", {"get_chart": ""}),
        ("tool", PARTS if client == "agui-1" else "a chart"),
        ("assistant", {"confirm": ""}),
        *(("user", "cancelled"), ("assistant", "never mind")),
        *(("user", "text:1"), ("assistant", "tok0 ")),
    ]
    assert [run["end"] for run in live["runs"]] == [FINISHED] * 3
    assert live["errors"] == []


def test_new_forms__later(play, client):
    """Whoever comes back gets every message; one that knows parts gets those that were sent."""
    seen = play("versions/new_forms", client)

    live, later = seen["live"], seen["later"]
    for reader, view in later.items():
        assert without_tool_result(view) == without_tool_result(live), reader
        assert [run["end"] for run in view["runs"]] == [FINISHED] * 3
        assert view["errors"] == []
    for reader in OLD_CLIENTS:
        assert result_of_the_tool(later[reader]) == "a chart"
    assert result_of_the_tool(later["agui-1"]) == result_of_the_tool(live)


def test_new_parts__of_the_user(play):
    """A file that old clients do not know is left out for them, and nothing else."""
    seen = play("versions/new_parts", "agui-1")

    live, later = seen["live"], seen["later"]
    first, *following = live["messages"]
    assert_same(live, {"agui-1": later["agui-1"]}, ["errors"])
    for reader in OLD_CLIENTS:
        known, *rest = later[reader]["messages"]
        assert known == {**first, "content": first["content"][:1]}
        assert rest == following
        assert later[reader]["errors"] == []


def test_thread__carried_on_by_the_other_version(play, client):
    """Clients take turns on a thread, and what one sends back does not spoil it for the other."""
    seen = play("versions/carried_on", client)

    live, later = seen["live"], seen["later"]
    assert shown(live)[-2:] == [("user", "text:1"), ("assistant", "tok0 ")]
    assert live["errors"] == []
    for view in later.values():
        assert without_tool_result(view) == without_tool_result(live)
        assert view["errors"] == []
    expected = PARTS if client == "agui-1" else "a chart"
    assert result_of_the_tool(later["agui-1"]) == expected
