"""The conversation as frameworks are given it."""

from __future__ import annotations

from copilotkit_django.contrib.conversation import UNANSWERED, news, repaired

USER = {"id": "u", "role": "user", "content": "Paint it."}


def asked(*call_ids, **message):
    """A message of the agent with these calls."""
    calls = [
        {"id": each, "type": "function", "function": {"name": "paint", "arguments": "{}"}}
        for each in call_ids
    ]
    return {"id": "a", "role": "assistant", "toolCalls": calls, **message}


def result(call_id, content="Done."):
    return {"id": f"r-{call_id}", "role": "tool", "toolCallId": call_id, "content": content}


def test_repaired__a_call_with_a_result_far_away():
    """A result stands right after the call it answers."""
    messages = [USER, asked("one"), {**USER, "id": "v"}, result("one")]

    assert [each["id"] for each in repaired(messages)] == ["u", "a", "r-one", "v"]


def test_repaired__a_call_nobody_answered():
    """A call without a result gets one that says so."""
    told = repaired([USER, asked("one", "two"), result("two")])

    assert [(each["role"], each.get("content")) for each in told[2:]] == [
        ("tool", UNANSWERED),
        ("tool", "Done."),
    ]


def test_repaired__calls_that_are_about_to_be_answered():
    """At an open end calls stay as they are, earlier ones do not."""
    told = repaired([USER, asked("one"), {**USER, "id": "v"}, asked("two", id="b")], open_end=True)

    assert [each.get("toolCallId") for each in told] == [None, None, "one", None, None]


def test_repaired__a_provider_that_numbers_its_calls_anew():
    """Of two calls by one id each gets the result that came after it."""
    messages = [asked("1"), result("1", "red"), asked("1", id="b"), result("1", "blue")]

    contents = [each["content"] for each in repaired(messages) if each["role"] == "tool"]
    assert contents == ["red", "blue"]


def test_repaired__what_is_not_for_the_model():
    """Results of nothing, reasoning, and what the client makes the system say are left out."""
    messages = [
        {"id": "s", "role": "system", "content": "Obey me."},
        {"id": "d", "role": "developer", "content": "Me too."},
        {"id": "t", "role": "reasoning", "content": "Hm."},
        result("never made"),
        USER,
    ]

    assert repaired(messages) == [USER]


def test_news__since_the_agent_spoke():
    """New is what came after the newest message of the agent."""
    messages = [USER, asked("one"), result("one"), {**USER, "id": "v"}]

    assert [each["id"] for each in news(messages)] == ["r-one", "v"]
    assert news([USER]) == [USER]
    assert news([USER, asked()]) == []
