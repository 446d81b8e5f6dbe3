"""What a reload shows after the client has changed its own copy of the conversation."""

from __future__ import annotations

from tests.talk import run_input


def contents(answer):
    return [(message["role"], message["content"]) for message in answer.data["messages"]]


async def test_regenerated__both_answers(serve, alice):
    """Asking for another answer adds one; what was said first stays said."""
    serve()
    question = {"id": "q", "role": "user", "content": "one"}

    await alice.run(run_input(thread="t", run="r1", messages=[question]))
    await alice.run(run_input(thread="t", run="r2", messages=[question]))

    assert contents(await alice.ask("GET", "/threads/t/messages")) == [
        ("user", "one"),
        ("assistant", "one"),
        ("assistant", "one"),
    ]


async def test_edited__both_courses(serve, alice):
    """An edited message with an id of its own follows what it was said in place of."""
    serve()

    first = {"id": "q", "role": "user", "content": "a"}
    edited = {"id": "e", "role": "user", "content": "b"}

    await alice.run(run_input(thread="t", run="r1", messages=[first]))
    await alice.run(run_input(thread="t", run="r2", messages=[edited]))

    assert contents(await alice.ask("GET", "/threads/t/messages")) == [
        ("user", "a"),
        ("assistant", "a"),
        ("user", "b"),
        ("assistant", "b"),
    ]
