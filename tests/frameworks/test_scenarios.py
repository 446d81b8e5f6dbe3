"""Every framework through our endpoint, with the real client of a provider, and no provider."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import replace

import pytest

from copilotkit_django.contrib.framework import FrameworkAgent
from copilotkit_django.testing import Text, ToolCall, Wait, by_last_message
from tests.frameworks import tools
from tests.frameworks.cases import CASES
from tests.frameworks.talk import PAINT, SECONDS, Page
from tests.integration.site import Caller
from tests.talk import within

pytestmark = [
    pytest.mark.parametrize("case", CASES, ids=lambda case: type(case).__name__),
    # Frameworks warn of each other, of Python and of themselves, and leave connections open.
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

scenario = pytest.mark.scenario


@pytest.fixture
def page(alice):
    return Page(alice)


@scenario("text")
async def test_text(case, host, llm, page):
    """What the model says arrives in pieces, as one message; its prompt does not."""
    host("text")

    heard = await page.say("Hello there, how are you?")

    assert heard.text == "You said: Hello there, how are you?"
    assert heard.kinds[0] == "RUN_STARTED"
    assert heard.kinds[-1] == "RUN_FINISHED"
    assert heard.kinds.count("TEXT_MESSAGE_CONTENT") > 2
    assert heard.events[0]["protocolVersion"] == "1.0"
    assert [message["role"] for message in page.messages] == ["user", "assistant"]
    assert b"Rosebud" not in heard.body
    assert "RAW" not in heard.kinds
    [prompt] = llm.prompts
    assert prompt.stream


@scenario("server_tool")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("whole", [False, True], ids=["in pieces", "whole"])
async def test_server_tool(case, host, llm, page, whole):
    """A plain function is carried out off the loop, with the ORM; the model goes on from there."""
    host("server_tool")
    if whole:
        llm.script = in_one_chunk

    heard = await page.say('call weather {"city": "Rome"}')

    [(name, arguments, call_id)] = heard.calls
    assert (name, arguments) == ("weather", {"city": "Rome"})
    assert "sunny in Rome" in heard.results[call_id]
    assert "sunny in Rome" in heard.text
    assert heard.last["type"] == "RUN_FINISHED"
    assert "outcome" not in heard.last or heard.last["outcome"]["type"] == "success"
    assert "pendingToolCallIds" not in heard.last.get("outcome", {})
    [thread] = tools.threads
    assert thread.name.startswith("copilotkit-run")
    order = [k for k in heard.kinds if k.startswith("TOOL_CALL")]
    assert order[0] == "TOOL_CALL_START"
    assert order[-2:] == ["TOOL_CALL_END", "TOOL_CALL_RESULT"]


@scenario("page_tool")
async def test_page_tool(case, host, llm, page):
    """A tool of the page is called, not carried out; its result goes on in another run."""
    host("page_tool")
    page.tools = [PAINT]

    asked = await page.say('call paint {"color": "teal"}')

    [(name, arguments, call_id)] = asked.calls
    assert (name, arguments) == ("paint", {"color": "teal"})
    assert asked.results == {}
    assert asked.last["type"] == "RUN_FINISHED"
    assert asked.last["outcome"] == {"type": "success", "pendingToolCallIds": [call_id]}
    [offered] = [tool for tool in llm.prompts[0].tools if tool["name"] == "paint"]
    assert offered["description"] == PAINT["description"]
    assert "color" in offered["parameters"]["properties"]

    answered = await page.answer(call_id, "painted it teal")

    assert "painted it teal" in answered.text
    assert answered.last["type"] == "RUN_FINISHED"
    assert len(llm.prompts) == 2
    assert [result.text for result in llm.prompts[1].tool_results] == ["painted it teal"]


@scenario("reasoning")
async def test_reasoning(case, host, llm, page):
    """What the model thinks is told apart from what it says."""
    host("reasoning")

    heard = await page.say("think Yes, of course")

    assert heard.reasoning == "They say: Yes, of course"
    assert heard.text == "Yes, of course"


@scenario("state")
async def test_state(case, host, llm, page):
    """A tool reads the state of the page, and what it makes of it comes back."""
    host("state")
    page.state = {"title": "Old"}

    heard = await page.say('call set_title {"title": "New"}')

    assert page.state == {"title": "New"}
    assert "was Old" in heard.text


@scenario("interrupt")
async def test_interrupt(case, host, llm, page):
    """A tool that needs approval waits for it across two runs."""
    host("interrupt")

    asked = await page.say('call wipe {"what": "all"}')

    [interrupt] = asked.interrupts
    assert interrupt["id"]
    assert interrupt["reason"]
    assert tools.wiped == []

    approved = await page.resume(interrupt, case.approval)

    assert tools.wiped == ["all"]
    assert "wiped all" in approved.text
    assert approved.last["type"] == "RUN_FINISHED"
    assert approved.interrupts == []


@scenario("errors")
async def test_errors__before(case, host, llm, page):
    """A model that refuses ends the run with an error in our words."""
    host("errors")

    heard = await page.say("refuse 400")

    assert heard.last["type"] == "RUN_ERROR"
    assert "refuses" not in heard.last["message"]
    assert "Incident" in heard.last["message"]


@scenario("errors")
async def test_errors__during(case, host, llm, page):
    """So does one that breaks down in the middle; what it said before stays."""
    host("errors")

    heard = await page.say("fail One two three")

    assert heard.last["type"] == "RUN_ERROR"
    assert "overloaded" not in heard.last["message"]
    assert heard.text.startswith("One two")


@scenario("server_tool")
async def test_server_tool__raises(case, host, llm, page):
    """What a tool raises is not told to the page, whatever becomes of the run."""
    host("server_tool")

    heard = await page.say('call weather {"city": "Nowhere"}')

    assert [name for name, _, _ in heard.calls] == ["weather"]
    assert heard.last["type"] in ("RUN_FINISHED", "RUN_ERROR")
    assert b"vault-7" not in heard.body


@scenario("stop")
async def test_stop(case, host, llm, page):
    """A stop in the middle of a sentence reaches the model; the thread can be used again."""
    host("stop")
    llm.script = lambda prompt: [Text("One two "), Wait(threading.Event())]
    response = await page.begin("Count!")
    chunks, body = aiter(response), b""
    while b"One" not in body:
        body += await within(anext(chunks), SECONDS)

    await page.stop()
    while chunk := await within(anext(chunks, b""), SECONDS):
        body += chunk
    heard = page.take(body)

    [prompt] = llm.prompts
    assert await asyncio.to_thread(prompt.wait, SECONDS)
    assert prompt.disconnected
    assert heard.last["type"] == "RUN_FINISHED"
    assert heard.text.startswith("One")

    llm.script = lambda prompt: "Here I am."
    again = await page.say("Go on")

    assert again.text == "Here I am."


@scenario("memory")
async def test_memory(case, host, llm, page):
    """The model gets the conversation once, and no message bears the id of another."""
    host("memory")

    await page.say("Hello one")
    heard = await page.say("Hello two")

    assert heard.text == "You said: Hello two"
    said = [(m.role, m.text.strip()) for m in llm.prompts[1].messages if m.text.strip()]
    assert [text for role, text in said if role == "user"] == ["Hello one", "Hello two"]
    assert [text for role, text in said if role == "assistant"] == ["You said: Hello one"]
    assert [message["role"] for message in page.messages] == ["user", "assistant"] * 2


@scenario("concurrent")
async def test_concurrent(case, host, llm):
    """Fifty people talk to the model at the same moment, and each hears their own answer."""
    host("concurrent")
    gate = threading.Event()
    llm.script = lambda prompt: [Wait(gate, SECONDS), Text(f"You said: {prompt.last_user_text}")]
    people = [Caller(headers={"x-user": f"person-{number}"}) for number in range(50)]
    pages = [Page(caller, thread=f"t{number}") for number, caller in enumerate(people)]

    talking = [asyncio.create_task(page.say(f"I am {page.thread}.")) for page in pages]
    try:
        await asyncio.to_thread(llm.wait, 50, SECONDS)
    finally:
        gate.set()
    heard = await within(asyncio.gather(*talking), SECONDS)

    assert [each.text for each in heard] == [f"You said: I am {page.thread}." for page in pages]


@scenario("owners")
async def test_owners(case, host, llm, alice, bob, monkeypatch):
    """What one owner says on a thread, another who uses its id never hears, nor their model."""
    host("owners")
    keys: list[str] = []
    known = FrameworkAgent._inside
    monkeypatch.setattr(
        FrameworkAgent,
        "_inside",
        lambda agent, context: keys.append(context.thread_key) or known(agent, context),
    )
    hers, his = Page(alice), Page(bob)

    await hers.say("My secret is 4711.")
    heard = await his.say("What is the secret?")
    again = await hers.say("Go on.")

    assert b"4711" not in heard.body
    assert "4711" not in str(llm.prompts[1].body)
    assert "4711" in str(llm.prompts[2].body)
    assert "What is the secret" not in str(llm.prompts[2].body)
    assert keys[0] == keys[2] != keys[1]
    for each in (heard, again):
        assert not [key for key in keys if key.encode() in each.body]
    ids = Counter(message["id"] for message in hers.messages)
    assert ids.most_common(1)[0][1] == 1


def in_one_chunk(prompt):
    """The default, except that calls come whole."""
    answer = by_last_message(prompt)
    if isinstance(answer, list):
        return [replace(p, whole=True) if isinstance(p, ToolCall) else p for p in answer]
    return answer
