"""What is particular to LangGraph: checkpoints, interrupts, and chunks of models."""

from __future__ import annotations

import pytest

from copilotkit_django.contrib.langgraph import LangGraphAgent, _one_call_each
from copilotkit_django.testing import ToolCall
from tests.frameworks import talk, tools
from tests.frameworks.cases.langgraph import CASE

pytestmark = [
    pytest.mark.skipif(CASE.missing() is not None, reason="LangGraph is not installed"),
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def page(alice):
    return talk.Page(alice)


def put(serve, agent):
    serve(agents={"default": agent}, stop_grace_seconds=5)


async def test_checkpointer__none(serve, llm, page):
    """A graph that remembers nothing gets the conversation from the page, each time once."""
    agent = CASE.agent(llm, "memory")
    put(serve, LangGraphAgent(agent.graph.copy(update={"checkpointer": None})))

    await page.say("Hello one")
    heard = await page.say("Hello two")

    assert heard.text == "You said: Hello two"
    said = [m.text for m in llm.prompts[1].messages if m.role == "user"]
    assert said == ["Hello one", "Hello two"]
    assert [m["role"] for m in page.messages] == ["user", "assistant"] * 2


async def test_resume__unknown(serve, llm, page):
    """An answer to what nobody asked carries out nothing."""
    put(serve, CASE.agent(llm, "interrupt"))
    [interrupt] = (await page.say('call wipe {"what": "all"}')).interrupts

    heard = await page.resume({**interrupt, "id": "made up"}, {"approved": True})

    assert heard.last["type"] == "RUN_ERROR"
    assert tools.wiped == []


async def test_resume__other_owner(serve, llm, page, bob):
    """The answer of somebody else, on a thread of the same id, carries out nothing."""
    put(serve, CASE.agent(llm, "interrupt"))
    [interrupt] = (await page.say('call wipe {"what": "all"}')).interrupts

    heard = await talk.Page(bob).resume(interrupt, {"approved": True})

    assert heard.last["type"] == "RUN_ERROR"
    assert tools.wiped == []


async def test_resume__several(serve, llm, page):
    """Two questions at once are answered each by its own answer."""
    put(serve, CASE.agent(llm, "interrupt"))
    asked = await page.say('call wipe {"what": "one"}\ncall wipe {"what": "two"}')
    assert len(asked.interrupts) == 2
    answers = {"Delete one?": False, "Delete two?": True}
    resume = [
        {
            "interruptId": each["id"],
            "status": "resolved",
            "payload": {"approved": answers[each["message"]]},
        }
        for each in asked.interrupts
    ]

    heard = await page.hear(await page.begin(None, resume=resume))

    assert tools.wiped == ["two"]
    assert heard.last["type"] == "RUN_FINISHED"
    assert "not wiped" in heard.text


async def test_page_tool__several_in_one_chunk(serve, llm, page):
    """Of calls that come whole, none and nothing of them is lost."""
    put(serve, CASE.agent(llm, "page_tool"))
    page.tools = [talk.PAINT]
    llm.script = lambda prompt: [
        ToolCall("paint", {"color": color}, whole=True) for color in ("teal", "red")
    ]

    heard = await page.say("Paint!")

    assert [(name, arguments) for name, arguments, _ in heard.calls] == [
        ("paint", {"color": "teal"}),
        ("paint", {"color": "red"}),
    ]


def test_chunk__all_at_once():
    """A chunk of two whole calls and the end is read as five: names, arguments, end."""
    from langchain_core.messages import AIMessageChunk

    calls = [
        {"name": "a", "args": '{"n": 1}', "id": "1", "index": 0, "type": "tool_call_chunk"},
        {"name": "b", "args": "{}", "id": "2", "index": 1, "type": "tool_call_chunk"},
    ]
    chunk = AIMessageChunk(
        content="Well",
        id="m",
        tool_call_chunks=calls,
        response_metadata={"finish_reason": "STOP"},
        usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    )

    pieces = [
        piece["data"]["chunk"]
        for piece in _one_call_each({"event": "on_chat_model_stream", "data": {"chunk": chunk}})
    ]

    assert [
        [(call["name"], call["args"]) for call in piece.tool_call_chunks] for piece in pieces
    ] == [[("a", "")], [(None, '{"n": 1}')], [("b", "")], [(None, "{}")], []]
    assert [piece.content for piece in pieces] == ["Well", "", "", "", ""]
    assert [bool(piece.usage_metadata) for piece in pieces] == [True, False, False, False, False]
    assert [bool(piece.response_metadata) for piece in pieces] == [False] * 4 + [True]
    assert len(chunk.tool_call_chunks) == 2
