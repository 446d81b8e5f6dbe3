"""The conversation, as it reaches the model."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from copilotkit_django.agents.builtin.messages import history, user_parts
from tests.talk import kinds, run_input, text_of

from .conftest import MODELS

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()


def user(content: Any, id: str = "u") -> dict[str, Any]:
    return {"id": id, "role": "user", "content": content}


def call(id: str, name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def says(text: str = "", *calls: dict[str, Any], id: str = "a") -> dict[str, Any]:
    message: dict[str, Any] = {"id": id, "role": "assistant"}
    if text:
        message["content"] = text
    if calls:
        message["toolCalls"] = list(calls)
    return message


def result(call_id: str, content: Any = "seen", **more: Any) -> dict[str, Any]:
    return {"id": f"t-{call_id}", "role": "tool", "toolCallId": call_id, "content": content, **more}


def told(messages: list[dict[str, Any]], **options: Any) -> list[tuple[str, Any]]:
    """The history, as kinds of parts and what they hold."""
    return [
        (part.part_kind, getattr(part, "content", None) or getattr(part, "tool_call_id", None))
        for message in history(messages, **options)
        for part in message.parts
    ]


def test_history__in_order() -> None:
    """Texts, calls and results keep their order; reasoning and activities are left out."""
    messages = [
        user("hi"),
        {"id": "x", "role": "reasoning", "content": "hm"},
        says("Let me look.", call("c1")),
        result("c1"),
        says("Nothing there.", id="a2"),
        user("ok", "u2"),
    ]

    assert told(messages) == [
        ("user-prompt", "hi"),
        ("text", "Let me look."),
        ("tool-call", "c1"),
        ("tool-return", "seen"),
        ("text", "Nothing there."),
        ("user-prompt", "ok"),
    ]


def test_result__behind_other_messages() -> None:
    """A result stands behind its call, wherever the client has put it."""
    messages = [user("hi"), says("", call("c1"), call("c2")), user("and?", "u2"), result("c2")]

    assert [part for part in told(messages) if part[0] == "tool-return"] == [
        ("tool-return", "The call was interrupted; there is no result."),
        ("tool-return", "seen"),
    ]
    assert told(messages)[-1] == ("user-prompt", "and?")


def test_result__of_a_call_there_is_not(caplog) -> None:
    """A result without its call would be refused by every provider; it is left out."""
    assert told([user("hi"), result("c9")]) == [("user-prompt", "hi")]
    assert "left out" in caplog.text


def test_result__of_calls_of_one_id() -> None:
    """Providers number their calls anew in each answer: each call has the result behind it."""
    messages = [
        user("1"),
        says("", call("call_1")),
        result("call_1", "first"),
        user("2", "u2"),
        says("", call("call_1"), id="a2"),
        {**result("call_1", "second"), "id": "t2"},
    ]

    returns = [content for kind, content in told(messages) if kind == "tool-return"]
    assert returns == ["first", "second"]


def test_result__in_parts_and_failed() -> None:
    """A result may come in parts, and may be an error."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [says("", call("c1"), call("c2")), result("c1", parts), result("c2", "", error="no")]

    (_, request) = history(messages)
    first, second = request.parts
    assert (first.content, first.outcome) == ("ab", "success")
    assert (second.content, second.outcome) == ("no", "failed")


def test_result__that_was_written_as_json() -> None:
    """What is JSON reaches the model as what it says."""
    messages = [
        says("", call("c1"), call("c2"), call("c3")),
        *(result("c1", '{"a": 1}'), result("c2", '"text"'), result("c3", "{no json")),
    ]

    assert [content for kind, content in told(messages) if kind == "tool-return"] == [
        {"a": 1},
        "text",
        "{no json",
    ]


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
def test_call__without_arguments(arguments) -> None:
    """No arguments are an empty object."""
    (response, _) = history([says("", call("c1", arguments=arguments))])

    assert response.parts[0].args == "{}"


def source(kind: str, **fields: str) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "data", **fields}}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (source("image", value=PIXEL, mimeType="image/png"), ("BinaryContent", "image/png")),
        (
            source("audio", value=PIXEL, mimeType="audio/webm;codecs=opus"),
            ("BinaryContent", "audio/webm"),
        ),
        (
            source("image", type="url", value="https://a.example/x.png"),
            ("ImageUrl", "image/png"),
        ),
        (
            source("document", type="url", value="https://a.example/x"),
            ("DocumentUrl", "application/octet-stream"),
        ),
        (
            source("video", type="url", value="https://a.example/x", mimeType="video/mp4"),
            ("VideoUrl", "video/mp4"),
        ),
        (
            source("audio", type="url", value="https://a.example/x", mimeType="audio/mpeg"),
            ("AudioUrl", "audio/mpeg"),
        ),
        (
            source("image", type="url", value=f"data:image/png;base64,{PIXEL}"),
            ("BinaryContent", "image/png"),
        ),
        (
            {"type": "binary", "mimeType": "image/png", "data": PIXEL},
            ("BinaryContent", "image/png"),
        ),
        (
            {"type": "binary", "mimeType": "application/pdf", "url": "https://a.example/x"},
            ("DocumentUrl", "application/pdf"),
        ),
        (
            {"type": "binary", "mimeType": "image/png", "url": "https://a.example/x"},
            ("ImageUrl", "image/png"),
        ),
        (
            source("document", type="file", value="file-1", provider="openai"),
            ("UploadedFile", "application/octet-stream"),
        ),
    ],
)
def test_attachment__read(part, expected) -> None:
    """Attachments of every form clients send are given to the model as what they are."""
    (read,) = user_parts([part])

    assert (type(read).__name__, read.media_type) == expected


@pytest.mark.parametrize(
    "part",
    [
        source("image", type="url", value="not an address"),
        source("image", type="url", value="file:///etc/passwd"),
        source("image", type="url", value="javascript:alert(1)"),
        source("image", type="url", value="http://[broken"),
        source("image", value="", mimeType="image/png"),
        source("image", value="a", mimeType="image/png"),
        source("image", type="file", value="file-1"),
        {"type": "binary", "mimeType": "image/png", "id": "x"},
    ],
)
def test_attachment__unreadable(part, caplog) -> None:
    """What cannot be read is left out, with a line in the log; the rest of the message stays."""
    read = list(user_parts([{"type": "text", "text": "Look"}, part]))

    assert read == ["Look"]
    assert "attachment is left out" in caplog.text


async def test_attachment__reaches_the_model(serve, llm, alice, provider) -> None:
    """An image the user has attached is in the request to the provider."""
    serve(MODELS[provider])
    content = [
        {"type": "text", "text": "What is this?"},
        source("image", value=PIXEL, mimeType="image/png"),
    ]

    events = (await alice.run(run_input(messages=[user(content)]))).events

    assert text_of(events) == "You said: What is this?"
    assert PIXEL in str(llm.prompts[0].body)


async def test_conversation__of_other_agents(serve, llm, alice, provider) -> None:
    """A conversation that holds calls of tools nobody knows, cut and unanswered, can go on."""
    serve(MODELS[provider])
    messages = [
        user("hi"),
        says("Wait", call("c1", "gone", '{"a": 1}'), call("c2", "cut", '{"a": ')),
        result("c1", "ok"),
        says("More", id="a2"),
        says("", call("c3"), id="a3"),
        user("Still there?", "u2"),
        result("c404"),
    ]

    events = (await alice.run(run_input(messages=messages))).events

    assert kinds(events)[-1] == "RUN_FINISHED"
    assert text_of(events) == "You said: Still there?"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("anthropic:signed:abc", ("hm", "abc", None)),
        ("anthropic:redacted:abc", ("", "abc", "redacted_thinking")),
        ("anthropic:signed:", None),
        ("anthropic", None),
        ("somebody:signed:abc", None),
        ("", None),
        (None, None),
    ],
)
def test_reasoning__under_a_seal(value, expected) -> None:
    """Reasoning goes back to the model under a seal of ours only, and only where it is wanted."""
    message = {"id": "x", "role": "reasoning", "content": "hm", "encryptedValue": value}
    messages = [user("hi"), message, says("ok")]

    found = [
        (part.content, part.signature, part.id)
        for each in history(messages, reasoning=True)
        for part in each.parts
        if part.part_kind == "thinking"
    ]

    assert found == ([] if expected is None else [expected])
    assert "thinking" not in [kind for kind, _ in told(messages)]
