"""The connect socket: runs, history, stop, several threads at once."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders

from copilotkit_django.agents import FunctionAgent
from copilotkit_django.consumers import connect as consumer
from copilotkit_django.consumers import window
from copilotkit_django.runners.database import DatabaseRunner
from tests.acting import Failing, Staged, ending, opening
from tests.integration.site import Caller
from tests.talk import SECONDS, kinds, run_input, text_of, within

from .sockets import SocketClient, Throttle, resumed

WHOLE = [
    "RUN_STARTED",
    "TEXT_MESSAGE_START",
    "TEXT_MESSAGE_CONTENT",
    "TEXT_MESSAGE_END",
    "RUN_FINISHED",
]


async def test_run__gives_what_http_gives(site, alice):
    """A run's events are those of the HTTP route, byte for byte once they are parsed."""
    socket = await alice(site())

    await socket.run("a", "hello", thread="t1")
    events = await socket.until_end("a")

    over_http = await Caller(headers={"x-user": "alice"}).run(run_input("hello", thread="t2"))
    assert kinds(events) == WHOLE
    assert json.loads(json.dumps(events).replace("t1", "t2")) == over_http.events


async def test_connect__replays_the_thread(site, alice):
    """The history of a thread comes over the socket, and ends by itself."""
    socket = await alice(site())
    await socket.run("a", "hello")
    await socket.until_end("a")

    await socket.follow("b")

    assert text_of(await socket.until_end("b")) == "hello"


async def test_connect__an_unknown_thread(site, alice):
    """A thread that is not there is an empty history."""
    socket = await alice(site())

    await socket.follow("b", "nowhere")

    assert await socket.until_end("b") == []


@pytest.mark.django_db(transaction=True)
async def test_connect__after_a_cursor(site, alice):
    """Whoever names the last cursor they have had is sent what came after it, once."""
    staged = Staged()
    application = site(agents={"default": staged}, runner=DatabaseRunner())
    socket = await alice(application)
    await socket.run("a")
    first = await socket.hear()
    await socket.leave()
    staged.cue.set()

    again = await alice(application)
    await again.follow("b", after=first["cursor"])
    rest = await again.until_end("b")

    assert kinds(first["events"] + rest) == WHOLE


async def test_run__goes_on_without_the_socket(site, alice):
    """A run outlives the socket that started it."""
    staged = Staged()
    application = site(agents={"default": staged})
    socket = await alice(application)
    await socket.run("a")
    await within(staged.waiting.wait())
    await socket.leave()
    staged.cue.set()

    again = await alice(application)
    await again.follow("b")

    assert kinds(await again.until_end("b"))[-1] == "RUN_FINISHED"
    assert not staged.cancelled.is_set()


async def test_stop__while_a_run_streams(site, alice):
    """A stop is heard while the run it is about is being streamed over the same socket."""
    staged = Staged()
    socket = await alice(site(agents={"default": staged}))
    await socket.run("a")
    await within(staged.waiting.wait())
    assert (await socket.hear())["type"] == "events"

    await socket.say({"type": "stop", "id": "s", "threadId": "t1"})
    answers, events = {}, []
    while not {"result", "end"} <= answers.keys():
        message = await socket.hear()
        answers[message["type"]] = message
        events += message.get("events", [])

    assert answers["result"]["body"]["stopped"] is True
    assert answers["result"]["id"] == "s"
    assert kinds(events)[-1] == "RUN_FINISHED"
    assert answers["end"] == {"type": "end", "id": "a"}


async def test_stop__another_run(site, alice):
    """A stop for a run that is not the live one stops nothing, and says so."""
    socket = await alice(site())

    answer = await socket.answer_of({"type": "stop", "id": "s", "threadId": "t1", "runId": "x"})

    assert answer == {
        "type": "result",
        "id": "s",
        "body": {
            "stopped": False,
            "message": "Run 'x' is not the active run for thread 't1'.",
        },
    }


async def test_threads__several_at_once(site, alice):
    """Runs on several threads stream over one socket, each under its own id."""
    staged = Staged()
    socket = await alice(site(agents={"default": staged}))
    for name in ("one", "two", "three"):
        await socket.run(name, thread=name, run=name)
    heard = [await socket.hear() for _ in range(3)]
    assert {message["id"] for message in heard} == {"one", "two", "three"}

    staged.cue.set()

    ended = set()
    while len(ended) < 3:
        message = await socket.hear()
        if message["type"] == "end":
            ended.add(message["id"])
    assert ended == {"one", "two", "three"}


async def test_ping__while_a_command_waits(site, alice):
    """A command that takes its time keeps no other from being answered."""
    release = asyncio.Event()

    async def slow(request):
        await release.wait()

    socket = await alice(site(before_request_middleware=None, hooks={"on_before_handler": None}))
    runtime = socket.application.runtime
    runtime.hooks.before_request = slow
    await socket.follow("a")

    assert await socket.answer_of({"type": "ping", "id": "p"}) == {"type": "pong", "id": "p"}

    release.set()
    assert await socket.until_end("a") == []


async def test_leave__ends_only_the_following(site, alice):
    """Leaving a command ends its frames, not the run."""
    staged = Staged()
    socket = await alice(site(agents={"default": staged}))
    await socket.run("a")
    assert (await socket.hear())["type"] == "events"

    assert await socket.answer_of({"type": "leave", "id": "a"}) == {
        "type": "end",
        "id": "a",
        "left": True,
    }

    staged.cue.set()
    await socket.follow("b")
    assert kinds(await socket.until_end("b")) == WHOLE


async def test_run__on_a_busy_thread(site, alice):
    """A second run on a busy thread is told so by an event, as over HTTP."""
    staged = Staged()
    socket = await alice(site(agents={"default": staged}))
    await socket.run("a", run="r1")
    await socket.hear()

    await socket.run("b", run="r2")

    message = await socket.hear()
    assert message["id"] == "b"
    assert [event["code"] for event in message["events"]] == ["THREAD_BUSY"]


async def test_run__sent_twice(site, alice):
    """The same run sent again, by a client that lost its socket, joins the run it started."""
    staged = Staged()
    application = site(agents={"default": staged})
    socket = await alice(application)
    await socket.run("a")
    await socket.hear()
    await socket.leave()

    again = await alice(application)
    await again.run("a")
    assert kinds((await again.hear())["events"]) == WHOLE[:3]
    staged.cue.set()

    assert kinds(await again.until_end("a")) == WHOLE[3:]
    assert len(staged.contexts) == 1


async def test_errors__have_the_status_of_http(site, alice):
    """What HTTP answers with a status, the socket answers with an error frame of that status."""
    socket = await alice(site())

    answer = await socket.answer_of({"type": "run", "id": "a", "input": {"threadId": "t"}})

    assert (answer["type"], answer["id"], answer["status"]) == ("error", "a", 400)
    assert answer["body"]["error"] == "Invalid request body"


async def test_errors__no_foreign_text(site, alice):
    """An agent's exception is an event with a sentence of ours."""
    failing = Failing(1, RuntimeError("the password is swordfish"))
    socket = await alice(site(agents={"default": failing}, expose_error_text=False))

    await socket.run("a")
    events = await socket.until_end("a")

    assert kinds(events)[-1] == "RUN_ERROR"
    assert "swordfish" not in json.dumps(events)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({}, "'type' is none of"),
        ({"type": "dance"}, "'type' is none of"),
        ({"type": "connect", "id": "a"}, "'threadId' must be a text"),
        ({"type": "connect", "id": "a", "threadId": 5}, "'threadId' must be a text"),
        ({"type": "connect", "threadId": "t"}, "'id' must be a text"),
        ({"type": "connect", "id": "", "threadId": "t"}, "'id' must be 1 to 64"),
        ({"type": "connect", "id": "x" * 65, "threadId": "t"}, "'id' must be 1 to 64"),
        ({"type": "run", "id": "a", "input": []}, "'input' must be an object"),
        ({"type": "ack", "frame": True}, "'frame' must be a whole number"),
        ({"type": "ack", "frame": 3}, "No such frame was sent yet"),
    ],
)
async def test_commands__wrong_fields(site, alice, message, said):
    """A command with wrong fields is answered, and the socket goes on."""
    socket = await alice(site())

    answer = await socket.answer_of(message)

    assert (answer["type"], answer["status"]) == ("error", 400)
    assert said in answer["body"]["message"]
    assert (await socket.answer_of({"type": "ping"}))["type"] == "pong"


@pytest.mark.parametrize("frame", [b"\x00\x01", "no json", "[1]", '"text"', "", "{", "\ud800"])
async def test_commands__no_command_at_all(site, alice, frame):
    """What is no JSON object closes the socket with a code of its own."""
    socket = await alice(site())

    await socket.say(frame)

    assert await socket.close_code() == 4400


async def test_commands__too_large(site, alice):
    """A message above MAX_BODY_BYTES closes the socket."""
    socket = await alice(site(max_body_bytes=1000))

    await socket.run("a", "x" * 2000)

    assert await socket.close_code() == 1009


async def test_commands__an_id_that_is_in_use(site, alice):
    """A second command with the id of a live one is refused; the first goes on."""
    staged = Staged()
    socket = await alice(site(agents={"default": staged}))
    await socket.run("a")
    await socket.hear()

    answer = await socket.answer_of({"type": "connect", "id": "a", "threadId": "t2"})

    assert (answer["status"], answer["body"]["error"]) == (409, "id_in_use")
    staged.cue.set()
    assert kinds(await socket.until_end("a")) == WHOLE[3:]


async def test_commands__too_many(site, alice, monkeypatch):
    """A socket has so many commands under way and no more."""
    monkeypatch.setattr(consumer, "MAX_COMMANDS", 1)
    staged = Staged()
    socket = await alice(site(agents={"default": staged}))
    await socket.run("a")
    await socket.hear()

    answer = await socket.answer_of({"type": "connect", "id": "b", "threadId": "t2"})

    assert (answer["id"], answer["status"]) == ("b", 429)


async def test_slow_reader__is_not_run_ahead_of(site, alice, monkeypatch):
    """What is not acknowledged holds up the frames of the socket, and nothing else."""
    monkeypatch.setattr(window, "MAX_FRAMES", 2)
    cues = asyncio.Queue()

    async def talk(context):
        for event in opening(context, "0"):
            yield event
        for number in range(1, 9):
            await cues.get()
            yield {
                "type": "TEXT_MESSAGE_CONTENT",
                "messageId": f"{context.run_id}-m1",
                "delta": str(number),
            }
        for event in ending(context):
            yield event

    socket = await alice(site(agents={"default": FunctionAgent(talk)}))
    await socket.run("a")
    heard = [await socket.hear()]
    cues.put_nowait(1)
    heard.append(await socket.hear())
    for _ in range(7):
        cues.put_nowait(1)
    assert (await socket.answer_of({"type": "ping"}))["type"] == "pong"
    assert await socket.receive_nothing(0.1)

    await socket.say({"type": "ack", "frame": heard[-1]["frame"]})
    rest = await socket.until_end("a")

    events = [event for message in heard for event in message["events"]] + rest
    assert text_of(events) == "012345678"


async def test_slow_reader__is_cut_off(site, alice, monkeypatch):
    """A client that acknowledges nothing is closed with a code, and can resume."""
    monkeypatch.setattr(window, "MAX_FRAMES", 1)
    staged = Staged()
    application = site(agents={"default": staged})
    socket = await alice(application)
    with monkeypatch.context() as patch:
        # Whoever comes back is given all the time it takes.
        patch.setattr(consumer, "ACK_SECONDS", 0.05)
        await socket.run("a")
        first = await socket.hear()
        staged.cue.set()
        assert await socket.close_code() == 4408

    again = await alice(application)
    await again.follow("a", after=first["cursor"])

    assert kinds(resumed(first["events"], await again.until_end("a"))) == WHOLE


async def test_slow_reader__of_a_long_history(site, alice):
    """A run that is over comes in pieces as well, and no further ahead than a live one."""
    text = "x" * 64 * 1024

    async def answers(context):
        yield context.started()
        for number in range(40):
            yield {
                "type": "TOOL_CALL_RESULT",
                "messageId": f"m{number}",
                "toolCallId": f"c{number}",
                "content": text,
            }
        yield context.finished()

    socket = await alice(site(agents={"default": FunctionAgent(answers)}))
    await Caller(headers={"x-user": "alice"}).run(run_input())
    await socket.follow("b")
    heard = [await socket.hear()]
    while not await socket.receive_nothing(0.1):
        heard.append(await socket.hear())

    ahead = [event for message in heard for event in message["events"]]
    assert len(ahead) < 24
    await socket.say({"type": "ack", "frame": heard[-1]["frame"]})
    rest = await socket.until_end("b")
    assert [event.get("messageId") for event in ahead + rest] == [
        None,
        *(f"m{number}" for number in range(40)),
        None,
    ]


async def test_slow_reader__is_not_heard_without_end(site, alice):
    """Of a client that reads no answers only so much is heard; all is answered when it reads."""
    throttle = Throttle(site())
    socket = await alice(throttle)
    throttle.reading.clear()
    before = throttle.heard

    for number in range(1000):
        await socket.say({"type": "ping", "id": str(number)})
    for _ in range(3000):
        await asyncio.sleep(0)

    assert throttle.heard - before < 400
    throttle.reading.set()
    answered = [await socket.hear() for _ in range(1000)]
    assert answered == [{"type": "pong", "id": str(number)} for number in range(1000)]


async def test_slow_reader__that_leaves(site, alice):
    """A client that goes away while much waits to be sent leaves nothing behind."""
    throttle = Throttle(site())
    socket = await alice(throttle)
    throttle.reading.clear()
    for number in range(1000):
        await socket.say({"type": "ping", "id": str(number)})

    await socket.send_input({"type": "websocket.disconnect", "code": 1001})
    throttle.reading.set()

    await socket.wait(SECONDS)


async def test_other_paths__are_refused(site, sockets):
    """A path that no consumer is at is refused without a traceback."""
    socket = sockets(SocketClient(site(), "/ws/nowhere/"))

    assert not await socket.shake()


def test_static_client__stands_alone():
    """connect.js is a static file of the app that imports nothing."""
    found = finders.find("copilotkit/connect.js")

    assert not re.search(r"^import ", Path(found).read_text(), re.MULTILINE)
