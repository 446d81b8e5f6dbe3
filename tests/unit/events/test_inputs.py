"""RunAgentInput as official clients send it, and what is made of everything else."""

from __future__ import annotations

import json

import pytest

from copilotkit_django.events.inputs import MAX_DEPTH, InvalidInput, parse_json, run_input
from tests.talk import run_input as an_input


def with_message(**message):
    return an_input(messages=[{"id": "m1", **message}])


def with_part(part):
    return with_message(role="user", content=[part])


FULL = {
    "threadId": "t1",
    "runId": "r1",
    "parentRunId": "r0",
    "protocolVersion": "1.0",
    "state": {"n": None},
    "forwardedProps": {"a": None},
    "messages": [
        {"id": "m1", "role": "developer", "content": "be nice", "name": "dev"},
        {"id": "m2", "role": "system", "content": "be brief", "name": "sys"},
        {"id": "m3", "role": "user", "content": "hi", "name": "Ada", "metadata": {"k": None}},
        {
            "id": "m4",
            "role": "assistant",
            "content": "hello",
            "name": "bot",
            "toolCalls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": "{}"},
                    "encryptedValue": "e",
                    "metadata": [1],
                }
            ],
        },
        {"id": "m5", "role": "tool", "content": "ok", "toolCallId": "c1", "error": "none"},
        {"id": "m6", "role": "activity", "activityType": "plan", "content": {"steps": [None]}},
        {"id": "m7", "role": "reasoning", "content": "hm", "encryptedValue": "e"},
        {"id": "m8", "role": "assistant", "subagentRunId": "s1"},
        {
            "id": "m9",
            "role": "user",
            "content": [
                {"type": "text", "text": "see", "metadata": {}},
                {
                    "type": "image",
                    "source": {"type": "data", "value": "AA==", "mimeType": "image/png"},
                },
                {"type": "audio", "source": {"type": "url", "value": "https://e.example/a"}},
                {
                    "type": "video",
                    "source": {
                        "type": "url",
                        "value": "https://e.example/v",
                        "mimeType": "video/mp4",
                    },
                    "metadata": None,
                },
                {
                    "type": "document",
                    "source": {"type": "file", "value": "f1", "provider": "p", "mimeType": "a/b"},
                },
            ],
        },
    ],
    "tools": [{"name": "f", "description": "d", "parameters": {"x": None}, "metadata": {}}],
    "context": [{"description": "d", "value": "v"}],
    "resume": [
        {"interruptId": "i1", "status": "resolved", "payload": None, "metadata": {}},
        {"interruptId": "i2", "status": "cancelled"},
    ],
}


def test_run_input__every_field():
    """Everything the protocol knows is passed on as it came."""
    assert run_input(FULL) == FULL


def test_run_input__least():
    """Only ids, messages, tools and context are required, and nothing is added."""
    least = {"threadId": "t", "runId": "r", "messages": [], "tools": [], "context": []}

    assert run_input(least) == least


@pytest.mark.parametrize("key", ["threadId", "runId", "messages", "tools", "context"])
def test_run_input__missing(key):
    """A missing required field is named."""
    with pytest.raises(InvalidInput, match=f"{key}: required"):
        run_input(an_input(**{key: ...}))


@pytest.mark.parametrize("value", [None, [], "text", 7, True])
def test_run_input__not_an_object(value):
    """A body that is no object is refused."""
    with pytest.raises(InvalidInput, match="Expected an object"):
        run_input(value)


@pytest.mark.parametrize("value", [None, {}, [], "x", 0, False])
@pytest.mark.parametrize("key", ["state", "forwardedProps"])
def test_run_input__payload_of_any_kind(key, value):
    """State and forwarded properties may be anything and are not looked at."""
    assert run_input(an_input(**{key: value}))[key] == value


EXTRA = {"extra": {"deep": 1}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (an_input(**EXTRA), an_input()),
        (an_input(lastSeenEventId=None), an_input()),
        (
            an_input(tools=[{"name": "f", "description": "d", **EXTRA}]),
            an_input(tools=[{"name": "f", "description": "d"}]),
        ),
        (
            an_input(context=[{"description": "d", "value": "v", **EXTRA}]),
            an_input(context=[{"description": "d", "value": "v"}]),
        ),
        (
            an_input(resume=[{"interruptId": "i", "status": "resolved", **EXTRA}]),
            an_input(resume=[{"interruptId": "i", "status": "resolved"}]),
        ),
        (
            with_message(role="user", content="x", **EXTRA),
            with_message(role="user", content="x"),
        ),
        (
            with_message(role="user", content="x", toolCalls=[]),
            with_message(role="user", content="x"),
        ),
        (
            with_message(
                role="assistant",
                toolCalls=[
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "f", "arguments": "", **EXTRA},
                        **EXTRA,
                    }
                ],
            ),
            with_message(
                role="assistant",
                toolCalls=[
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
                ],
            ),
        ),
        (
            with_part({"type": "text", "text": "x", **EXTRA}),
            with_part({"type": "text", "text": "x"}),
        ),
        (
            with_part({"type": "image", "source": {"type": "url", "value": "u", **EXTRA}, **EXTRA}),
            with_part({"type": "image", "source": {"type": "url", "value": "u"}}),
        ),
    ],
)
def test_run_input__unknown_keys(given, expected):
    """Unknown keys are left out at every level, and the caller's object is not changed."""
    before = json.dumps(given)

    assert run_input(given) == expected
    assert json.dumps(given) == before


@pytest.mark.parametrize(
    "part",
    [
        {"type": "binary", "mimeType": "image/png", "data": "AA==", "filename": "a.png"},
        {"type": "binary", "mimeType": "image/png", "url": "https://e.example/a.png"},
        {"type": "binary", "mimeType": "image/png", "id": "file-1"},
    ],
)
def test_run_input__legacy_part(part):
    """The binary parts of older clients are accepted as they are."""
    assert run_input(with_part(part)) == with_part(part)


def test_run_input__tool_result_in_parts():
    """The result of a tool may be a list of parts, as of protocol 1.0."""
    message = {"role": "tool", "toolCallId": "c1", "content": [{"type": "text", "text": "x"}]}

    assert run_input(with_message(**message)) == with_message(**message)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (an_input(threadId=None), "threadId"),
        (an_input(threadId=7), "threadId"),
        (an_input(runId=["r"]), "runId"),
        (an_input(parentRunId=None), "parentRunId"),
        (an_input(protocolVersion=1), "protocolVersion"),
        (an_input(messages={}), "messages"),
        (an_input(messages=None), "messages"),
        (an_input(messages=["x"]), "messages[0]"),
        (an_input(messages=[{"id": "m", "role": "bot"}]), "messages[0].role"),
        (an_input(messages=[{"id": "m", "role": ["user"]}]), "messages[0].role"),
        (an_input(messages=[{"id": "m"}]), "messages[0].role"),
        (an_input(messages=[{"role": "user", "content": "x"}]), "messages[0].id"),
        (with_message(role="user"), "messages[0].content"),
        (with_message(role="user", content=None), "messages[0].content"),
        (with_message(role="user", content=7), "messages[0].content"),
        (with_message(role="user", content="x", name=None), "messages[0].name"),
        (with_message(role="user", content="x", metadata=[]), "messages[0].metadata"),
        (with_message(role="system", content=[]), "messages[0].content"),
        (with_message(role="assistant", content=None), "messages[0].content"),
        (with_message(role="assistant", toolCalls={}), "messages[0].toolCalls"),
        (with_message(role="assistant", toolCalls=[{}]), "messages[0].toolCalls[0].id"),
        (with_message(role="tool", content="x"), "messages[0].toolCallId"),
        (with_message(role="activity", activityType="a", content="x"), "messages[0].content"),
        (with_message(role="reasoning"), "messages[0].content"),
        (with_part({"type": "smell"}), "messages[0].content[0].type"),
        (with_part("x"), "messages[0].content[0]"),
        (with_part({"type": "text"}), "messages[0].content[0].text"),
        (with_part({"type": "image"}), "messages[0].content[0].source"),
        (
            with_part({"type": "image", "source": {"type": "data", "value": "x"}}),
            "messages[0].content[0].source.mimeType",
        ),
        (
            with_part({"type": "image", "source": {"type": "ftp", "value": "x"}}),
            "messages[0].content[0].source.type",
        ),
        (with_part({"type": "binary", "mimeType": "a/b"}), "messages[0].content[0]"),
        (an_input(tools=[{"name": "f"}]), "tools[0].description"),
        (an_input(tools=["f"]), "tools[0]"),
        (an_input(context=[{"description": "d", "value": {}}]), "context[0].value"),
        (an_input(resume=None), "resume"),
        (an_input(resume=[{"interruptId": "i", "status": "maybe"}]), "resume[0].status"),
        (an_input(resume=[{"interruptId": "i", "status": ["resolved"]}]), "resume[0].status"),
    ],
)
def test_run_input__wrong_shape(value, place):
    """What is wrong is told with the place where it stands."""
    with pytest.raises(InvalidInput) as caught:
        run_input(value)

    assert str(caught.value).startswith(place)


def test_run_input__wrong_tool_call_type():
    """Only functions can be called."""
    call = {"id": "c", "type": "method", "function": {"name": "f", "arguments": ""}}

    with pytest.raises(InvalidInput, match="function"):
        run_input(with_message(role="assistant", toolCalls=[call]))


@pytest.mark.parametrize("key", ["threadId", "runId"])
@pytest.mark.parametrize("value", ["", "  \n", "x" * 256, "a\0b", "half \ud83d", "\udfff"])
def test_run_input__id_that_cannot_be_stored(key, value):
    """Ids are stored and indexed by any database, so they hold nothing one of them refuses."""
    with pytest.raises(InvalidInput, match=key):
        run_input(an_input(**{key: value}))


@pytest.mark.parametrize("value", ["x" * 255, "日本", "👩\u200d💻", " a ", "a/b", "é" * 255])
def test_run_input__unusual_id(value):
    """Everything else is an id, exactly as it came."""
    assert run_input(an_input(threadId=value))["threadId"] == value


@pytest.mark.parametrize("text", ["\0", "half \ud83d", "\u2028", "", "\r\n"])
def test_run_input__text_of_a_message(text):
    """What people write is passed on whatever it is."""
    given = with_message(role="user", content=text)

    assert run_input(given) == given


class TestJson:
    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b" ", b"{", b"{'a': 1}", b'{"a": NaN}', b"[Infinity]", b"\xff"),
            *(b'"\xed\xa0\xbd"', b'["\\u00e4", NaN]', b'["\\u00e4", -Infinity]'),
            *(b'["\\ud83d", \xff]', b'["\\uZZZZ"]'),
        ],
    )
    def test_parse_json__not_json(self, body):
        """What JSON does not know is refused, also where the slower reader has to look."""
        with pytest.raises(InvalidInput, match="Not valid JSON"):
            parse_json(body)

    def test_parse_json__half_an_emoji(self):
        """Browsers cut strings in the middle of an emoji and send the half."""
        assert parse_json(b'{"a": ["\\ud83d", "\\ude00!"]}') == {"a": ["\ud83d", "\ude00!"]}

    def test_parse_json__whole_emoji_in_escapes(self):
        """Two escapes that belong together are one character."""
        assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"

    @pytest.mark.parametrize("opened", [b"[", b'{"a":'])
    def test_parse_json__as_deep_as_may_be(self, opened):
        """The deepest nesting allowed is still read, one level more is not."""
        closed = b"]" if opened == b"[" else b"}"

        parse_json(opened * MAX_DEPTH + b"0" + closed * MAX_DEPTH)
        with pytest.raises(InvalidInput, match="Nested deeper"):
            parse_json(opened * (MAX_DEPTH + 1) + b"0" + closed * (MAX_DEPTH + 1))

    @pytest.mark.parametrize("prefix", [b"", b'"\\ud83d",'])
    def test_parse_json__absurdly_deep(self, prefix):
        """Nesting beyond what the readers themselves bear is refused just the same."""
        with pytest.raises(InvalidInput):
            parse_json(b"[" + prefix + b"[" * 100_000 + b"]" * 100_001)

    def test_parse_json__many_brackets_in_text(self):
        """Brackets inside of texts are no nesting."""
        body = json.dumps(["[{" * 10_000]).encode()

        assert parse_json(body) == ["[{" * 10_000]

    def test_parse_json__wide(self):
        """A wide value is not a deep one."""
        value = [[{"a": n}] for n in range(1000)]

        assert parse_json(json.dumps(value).encode()) == value
