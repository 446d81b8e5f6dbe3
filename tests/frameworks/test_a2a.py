"""What is particular to agents of the A2A protocol, against a server of its SDK."""

from __future__ import annotations

import asyncio
import base64
import json
import logging

import pytest

from tests.frameworks.cases.a2a import A2A
from tests.frameworks.talk import SECONDS, Page
from tests.talk import kinds

pytestmark = [
    pytest.mark.skipif(A2A.missing() is not None, reason=f"{A2A.missing()} is not installed"),
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(params=[True, False], ids=["streaming", "at once"])
def streaming(request):
    return request.param


@pytest.fixture
async def remote(streaming):
    """A server whose agent does what it is told, and notes what it was sent."""
    from tests.frameworks.a2a_obedient import Obedient
    from tests.frameworks.a2a_server import Server

    executor = Obedient()
    server = Server(executor, streaming=streaming)
    server.executor = executor
    yield server
    await asyncio.to_thread(server.stop)


@pytest.fixture
def host(serve):
    def put(agent):
        serve(agents={"default": agent}, stop_grace_seconds=5)

    return put


@pytest.fixture
def agent(remote, host):
    from copilotkit_django.contrib.a2a import A2AAgent

    agent = A2AAgent(remote.url)
    host(agent)
    return agent


@pytest.fixture
def page(alice):
    return Page(alice)


async def test_artifacts__data_beside_text(agent, page):
    """Text becomes a message, other parts an activity that grows with the artifact."""
    heard = await page.say("artifacts")

    assert heard.text == "one two"
    activity = next(each for each in page.messages if each["role"] == "activity")
    assert activity["activityType"] == "a2a-artifact"
    assert activity["content"] == {
        "artifactId": "table",
        "name": "Numbers",
        "parts": [{"data": {"n": 1.0}}, {"data": {"n": 2.0}}],
    }


async def test_message__without_a_task(agent, page):
    """An agent may answer without making a task of it."""
    heard = await page.say("message")

    assert heard.text == "Just this."
    assert heard.last["type"] == "RUN_FINISHED"


async def test_failure__its_words(agent, page):
    """What a failed task says may be the text of an exception: it stays on the server."""
    heard = await page.say("fail")

    assert heard.last["type"] == "RUN_ERROR"
    assert b"vault-7" not in heard.body


async def test_rejection__its_words(agent, page):
    """What an agent says when it rejects a task is meant for the user."""
    heard = await page.say("reject")

    assert heard.text == "Not my job."
    assert heard.last["type"] == "RUN_ERROR"


async def test_crash__of_the_executor(agent, page):
    """An agent that breaks down ends the run with an error in our words."""
    heard = await page.say("crash")

    assert heard.last["type"] == "RUN_ERROR"
    assert b"vault-7" not in heard.body


async def test_silence__no_server(host, page):
    """So does a server that is not there."""
    from copilotkit_django.contrib.a2a import A2AAgent

    host(A2AAgent("http://127.0.0.1:1"))

    heard = await page.say("Hello")

    assert heard.last["type"] == "RUN_ERROR"
    assert b"127.0.0.1" not in heard.body


async def test_stop__the_task(agent, remote, page):
    """A stop cancels the task, even one whose name was not heard yet."""
    response = await page.begin("wait")
    assert await asyncio.to_thread(remote.executor.waiting.wait, SECONDS)

    await page.stop()
    heard = await page.hear(response)

    assert heard.last["type"] == "RUN_FINISHED"
    assert await asyncio.to_thread(remote.executor.cancelled.wait, SECONDS)


async def test_question__answered_with_text(agent, remote, page):
    """A question ends the run; the answer goes on with the task it belongs to."""
    asked = await page.say("ask")
    [interrupt] = asked.interrupts

    heard = await page.resume(interrupt, "The red one.")

    assert (interrupt["reason"], interrupt["message"]) == ("input_required", "Which one?")
    assert heard.text == "You want: The red one."
    first, second = remote.executor.tasks
    assert first == second


async def test_question__not_answered(agent, remote, page):
    """Who refuses to answer cancels the task."""
    [interrupt] = (await page.say("ask")).interrupts

    entry = {"interruptId": interrupt["id"], "status": "cancelled"}
    heard = await page.hear(await page.begin(None, resume=[entry]))

    assert heard.last["type"] == "RUN_FINISHED"
    assert remote.executor.cancelled.is_set()


async def test_question__answered_by_another(agent, remote, page, bob):
    """A question put to one owner cannot be answered by another, on a thread of the same id."""
    [interrupt] = (await page.say("ask")).interrupts

    heard = await Page(bob).resume(interrupt, "Mine!")

    assert heard.last["type"] == "RUN_ERROR"
    assert len(remote.executor.tasks) == 1


async def test_question__as_a_message(remote, host, page):
    """Without interrupts a question is a message, and what the user says next the answer."""
    from copilotkit_django.contrib.a2a import A2AAgent

    host(A2AAgent(remote.url, interrupts=False))

    asked = await page.say("ask")
    heard = await page.say("The blue one.")

    assert (asked.text, asked.interrupts) == ("Which one?", [])
    assert heard.text == "You want: The blue one."
    first, second = remote.executor.tasks
    assert first == second


async def test_attachments__as_parts(agent, remote, page):
    """Files go along, as bytes or as their address; the page's state and context do not."""
    data = base64.b64encode(b"png").decode()
    content = [
        {"type": "text", "text": "parts"},
        {"type": "image", "source": {"type": "data", "value": data, "mimeType": "image/png"}},
        {
            "type": "document",
            "source": {
                "type": "url",
                "value": "https://example.com/a.pdf",
                "mimeType": "application/pdf",
            },
        },
    ]
    page.state = {"secret": "4711"}

    message = {"id": "u", "role": "user", "content": content}
    heard = await page.hear(await page.begin(None, messages=[message]))

    text, image, document = json.loads(heard.text)
    assert text == {"text": "parts"}
    assert image == {"raw": data, "mediaType": "image/png"}
    assert document == {"url": "https://example.com/a.pdf", "mediaType": "application/pdf"}
    assert "4711" not in heard.text


async def test_headers__to_the_origin_of_the_card(remote, host, page):
    """Headers of the project and the forwarded ones go with every request."""
    from copilotkit_django.contrib.a2a import A2AAgent

    host(A2AAgent(remote.url, headers={"x-key": "k"}))
    page.caller.headers["authorization"] = "Bearer t"

    await page.say("message")

    assert len(remote.headers) == 2
    for headers in remote.headers:
        assert headers[b"x-key"] == b"k"
        assert headers[b"authorization"] == b"Bearer t"


async def test_headers__to_an_origin_nobody_trusts(remote, host, page, caplog):
    """Where a card names an endpoint elsewhere, credentials do not go there."""
    from copilotkit_django.contrib.a2a import A2AAgent

    elsewhere = remote.url.replace("127.0.0.1", "localhost")
    host(A2AAgent(elsewhere, headers={"x-key": "k"}))

    with caplog.at_level(logging.WARNING, "copilotkit.run"):
        heard = await page.say("message")

    assert heard.text == "Just this."
    card, call = remote.headers
    assert b"x-key" in card
    assert b"x-key" not in call
    assert "trusted_origins" in caplog.text


async def test_headers__to_an_origin_that_is_trusted(remote, host, page):
    """Unless it is named as trusted."""
    from copilotkit_django.contrib.a2a import A2AAgent

    elsewhere = remote.url.replace("127.0.0.1", "localhost")
    host(A2AAgent(elsewhere, headers={"x-key": "k"}, trusted_origins=[remote.url]))

    await page.say("message")

    assert all(b"x-key" in headers for headers in remote.headers)


async def test_card__given_or_remembered(remote, host, page):
    """A card is read once; one that is given is not read at all."""
    from copilotkit_django.contrib.a2a import A2AAgent

    host(A2AAgent(remote.url))
    await page.say("message")
    await page.say("message")
    read = len(remote.headers)
    host(A2AAgent(remote.card))
    await page.say("message")

    assert (read, len(remote.headers)) == (3, 4)


async def test_metadata__of_the_run(remote, host, page):
    """A project may send along what it likes."""
    from copilotkit_django.contrib.a2a import A2AAgent

    host(A2AAgent(remote.url, metadata=lambda context: {"scope": context.scope}))

    heard = await page.say("metadata")

    assert json.loads(heard.text) == {"scope": "user:alice"}


async def test_progress__as_reasoning(agent, page):
    """What an agent says while it works is told apart from its answer."""
    heard = await page.say("progress")

    # Without a stream only the end of it is heard.
    assert heard.reasoning in ("Looking. Still looking.", "")
    assert heard.text == "Found."
    assert "TEXT_MESSAGE_START" in kinds(heard.events)
