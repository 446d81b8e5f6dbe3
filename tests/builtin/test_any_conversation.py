"""Whatever a client sends as a conversation is one that every provider takes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from copilotkit_django.agents.builtin.messages import history
from copilotkit_django.agents.builtin.openai_form import chat_messages
from copilotkit_django.events.inputs import run_input

IDS = st.sampled_from(["c1", "c2", "c3"])
TEXTS = st.sampled_from(["", "hi", '{"a": 1}', '"q"', "{", "é" * 3])

calls = st.builds(
    lambda id, arguments: {
        "id": id,
        "type": "function",
        "function": {"name": "f", "arguments": arguments},
    },
    IDS,
    TEXTS,
)
parts = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
        st.builds(
            lambda kind, value: {
                "type": kind,
                "source": {"type": "data", "value": value, "mimeType": "image/png"},
            },
            st.sampled_from(["image", "audio", "video", "document"]),
            st.sampled_from(["", "AAAA", "%", "data:,x"]),
        ),
        st.builds(
            lambda kind, value: {"type": kind, "source": {"type": "url", "value": value}},
            st.sampled_from(["image", "document"]),
            st.sampled_from(["", "x", "https://a.example/b", "data:image/png;base64,AAAA"]),
        ),
        st.just({"type": "binary", "mimeType": "image/png", "id": "x"}),
    ),
    max_size=3,
)
messages = st.lists(
    st.one_of(
        st.builds(lambda content: {"role": "user", "content": content}, st.one_of(TEXTS, parts)),
        st.builds(
            lambda content, made: {"role": "assistant", "content": content, "toolCalls": made},
            TEXTS,
            st.lists(calls, max_size=3, unique_by=lambda call: call["id"]),
        ),
        st.builds(
            lambda id, content: {"role": "tool", "toolCallId": id, "content": content}, IDS, TEXTS
        ),
        st.builds(
            lambda role, content: {"role": role, "content": content},
            st.sampled_from(["system", "developer", "reasoning"]),
            TEXTS,
        ),
    ),
    max_size=8,
)


def valid(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages as they come out of a validated input."""
    numbered = [{"id": f"m{number}", **message} for number, message in enumerate(found)]
    wire = {"threadId": "t", "runId": "r", "tools": [], "context": [], "messages": numbered}
    return run_input(wire)["messages"]


@given(messages)
def test_history__calls_and_results_belong_together(found) -> None:
    """Requests and answers alternate; behind each answer are the results of its calls, in order,
    and no result stands anywhere else."""
    read = history(valid(found), instructions="Be kind.", system=True, reasoning=True)

    assert [message.kind for message in read] == [
        "request" if number % 2 == 0 else "response" for number in range(len(read))
    ]
    assert all(message.parts for message in read)
    for before, after in zip([None, *read], read, strict=False):
        if after.kind == "response":
            assert not any(part.part_kind == "tool-return" for part in after.parts)
            continue
        made = [] if before is None else [part.tool_call_id for part in before.tool_calls]
        returned = [part for part in after.parts if part.part_kind == "tool-return"]
        assert [part.tool_call_id for part in returned] == made
        assert list(after.parts[: len(returned)]) == returned
    open_calls = read[-1].tool_calls if read[-1].kind == "response" else []
    assert open_calls == []


@given(messages)
def test_chat_messages__calls_and_results_belong_together(found) -> None:
    """The same holds for what a factory is given."""
    waiting: list[str] = []
    for message in chat_messages(valid(found)):
        if message["role"] == "tool":
            assert message["tool_call_id"] == waiting.pop(0)
            continue
        assert waiting == []
        waiting = [call["id"] for call in message.get("tool_calls", ())]
    assert waiting == []
