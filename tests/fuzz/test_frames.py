"""Frames nobody would send: sockets answer, or close with a code of theirs, and nothing leaks."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from copilotkit_django import realtime
from copilotkit_django.asgi import get_asgi_application
from copilotkit_django.consumers.sockets import Close
from copilotkit_django.operations.call import Call
from copilotkit_django.routing import patterns_for
from copilotkit_django.runners import InMemoryRunner
from copilotkit_django.runtime import Runtime
from tests.acting import Parrot
from tests.integration.site import BASE, Site, by_header
from tests.talk import run_input
from tests.websockets.phoenix import Page
from tests.websockets.sockets import Closed, SocketClient, Talk

pytestmark = pytest.mark.django_db(transaction=True)

FRAMES = max(100, int(10_000 * float(os.environ.get("FUZZ", "0.1"))))

#: Frames on one socket before another one is opened.
FRAMES_PER_SOCKET = 100

DEFINED = set(map(int, Close)) | {1000}

#: What never leaves a server.
LEAKS = ("Traceback", 'File "', "copilotkit_django", "site-packages", "Exception", "Error(")

TEXTS = ("", "a", "t1", "\0", "\ud800", "🙂", "x" * 300, "../..", "1.2", "__proto__", "%00", "'--")


@pytest.fixture
async def application(settings: Any) -> Any:
    runtime = Runtime(
        agents={"default": Parrot()},
        authentication=by_header,
        runner=InMemoryRunner(),
        expose_error_text=False,
        stop_grace_seconds=0.05,
    )
    settings.ROOT_URLCONF = Site({BASE: runtime})
    application = get_asgi_application(patterns_for(lambda: runtime))
    application.runtime = runtime
    yield application
    await runtime.runner.drain()


def value(random: random.Random, depth: int = 0) -> Any:
    """Any JSON value, small or odd."""
    kinds = 7 if depth < 3 else 5
    match random.randrange(kinds):
        case 0:
            return None
        case 1:
            return random.choice([True, False])
        case 2:
            return random.choice([0, -1, 1, 2**31, 2**63, 1e308, 0.1, 17])
        case 3 | 4:
            return random.choice(TEXTS)
        case 5:
            return [value(random, depth + 1) for _ in range(random.randrange(4))]
        case _:
            names = [*TEXTS, "type", "id", "threadId", "runId", "messages", "role"]
            return {
                random.choice(names): value(random, depth + 1) for _ in range(random.randrange(4))
            }


def damaged(random: random.Random, text: str) -> str | bytes:
    """The text of a frame, cut, doubled, with something else in it, or as bytes."""
    place = random.randrange(len(text) + 1)
    match random.randrange(5):
        case 0:
            return text[:place]
        case 1:
            return text[:place] + random.choice(TEXTS) + text[place:]
        case 2:
            return text + text
        case 3:
            return "[" * random.randrange(1, 3000)
        case _:
            return text.encode(errors="surrogatepass")


def mutated(random: random.Random, message: Any) -> Any:
    """A proper message with some of its parts replaced, left out, or as it is."""
    if isinstance(message, dict):
        changed = {
            key: mutated(random, part) for key, part in message.items() if random.random() > 0.08
        }
        if random.random() < 0.15:
            changed[random.choice(TEXTS)] = value(random)
        return changed
    if isinstance(message, list):
        return [mutated(random, part) for part in message if random.random() > 0.05]
    return value(random) if random.random() < 0.12 else message


def commands(random: random.Random) -> Iterator[Any]:
    """Messages of the connect socket, in proper form."""
    while True:
        id, thread = str(random.randrange(9)), f"t{random.randrange(4)}"
        yield random.choice(
            [
                {"type": "ping", "id": id},
                {"type": "ack", "frame": random.randrange(99)},
                {"type": "leave", "id": id},
                {"type": "stop", "id": id, "threadId": thread, "runId": "r1"},
                {"type": "connect", "id": id, "threadId": thread, "after": "1.0"},
                {"type": "run", "id": id, "input": run_input("hi", thread=thread)},
            ]
        )


def messages(random: random.Random, topic: str) -> Iterator[Any]:
    """Messages of the socket of live lists, in proper form."""
    while True:
        ref = str(random.randrange(99))
        yield random.choice(
            [
                [None, ref, "phoenix", "heartbeat", {}],
                ["1", ref, topic, "phx_join", {}],
                ["1", ref, topic, "phx_leave", {}],
                ["1", ref, "user_meta:somebody", "phx_join", {}],
                ["1", ref, topic, "stop_run", {"run_id": "r"}],
            ]
        )


async def play(
    open: Callable[[], Any], source: Iterator[Any], seed: int, *, odd: float
) -> dict[str, int]:
    """Send frames to one socket after the other; how often these were closed, by code.

    ``odd``: how many of the frames are not in proper form.
    """
    chance = random.Random(seed)
    codes: dict[str, int] = {}
    socket, sent_here = await open(), 0
    for _ in range(FRAMES):
        message = next(source)
        if chance.random() < odd:
            message = mutated(chance, message)
        # What UTF-8 cannot hold is escaped, as JSON is by those who write it in ASCII.
        text = json.dumps(message)
        frame = damaged(chance, text) if chance.random() < 0.02 else text
        try:
            await socket.say(frame)
            sent_here += 1
            while not socket.output_queue.empty():
                await check(socket)
            if sent_here >= FRAMES_PER_SOCKET or isinstance(frame, bytes):
                raise Closed(await leave(socket))
        except Closed as closed:
            codes[str(closed.code)] = codes.get(str(closed.code), 0) + 1
            await socket.leave()
            socket, sent_here = await open(), 0
    codes[str(await leave(socket))] = 1
    await socket.leave()
    assert set(map(int, codes)) <= DEFINED
    return codes


async def check(socket: Any) -> None:
    """One message of the server: proper JSON without anything of ours in it."""
    heard = await socket.hear()
    said = json.dumps(heard)
    assert not any(leak in said for leak in LEAKS), said
    if isinstance(heard, dict) and heard["type"] == "error":
        assert 400 <= heard["status"] < 500, said
        assert heard["body"]["error"], said


async def leave(socket: Any) -> int:
    """Have everything answered that was sent, to the last ping; the code if that closes it."""
    await socket.say(LAST[type(socket)])
    try:
        while True:
            message = await socket.receive_output(5)
            if message["type"] == "websocket.close":
                return int(message["code"])
            assert not any(leak in message["text"] for leak in LEAKS), message
            if '"last"' in message["text"]:
                return 1000
    except TimeoutError:
        raise AssertionError("the socket neither answers nor closes") from None


LAST: dict[type, Any] = {
    Talk: {"type": "ping", "id": "last"},
    Page: [None, "last", "phoenix", "heartbeat", {}],
}


async def test_frames__of_the_connect_socket(application, caplog):
    """Whatever is sent, the socket answers or closes with a code; the next one works."""

    async def open() -> Talk:
        return await Talk(application, headers={"x-user": "alice"}).opened()

    codes = await play(open, commands(random.Random(1)), seed=2, odd=0.8)

    print("\nclosed", codes)
    assert not [record for record in caplog.records if record.name == "copilotkit.websocket"]
    assert not [record for record in caplog.records if record.name == "copilotkit.incident"]
    assert codes["1000"]


async def test_frames__of_live_lists(application, caplog):
    """So does the socket of live lists."""
    request = type("Request", (), {"COOKIES": {}})()
    call = Call(endpoint=application.runtime.endpoint, scope="user:alice", request=request)
    token = await realtime.join_token(call)
    topic = f"user_meta:{realtime.join_code('user:alice')}"

    async def open() -> Page:
        return await Page(application, token).opened()

    codes = await play(open, messages(random.Random(3), topic), seed=4, odd=0.05)

    print("\nclosed", codes)
    assert not [record for record in caplog.records if record.name == "copilotkit.websocket"]
    assert codes["1000"]


async def test_handshakes(application):
    """Handshakes with odd paths, queries and headers are refused or closed, never failed on."""
    chance = random.Random(5)
    for _ in range(FRAMES // 20):
        query = {
            chance.choice(["ticket", "join_token", "vsn", "x"]): chance.choice(TEXTS).encode(
                errors="replace"
            )
        }
        path = chance.choice(["agent/default/connect/", "agent/%2f/connect/", "realtime/websocket"])
        origin = chance.choice([None, "null", "http://a", "x://é"])
        socket = SocketClient(application, f"/ws/copilotkit/{path}", query=query, origin=origin)
        if await socket.shake():
            message = await socket.receive_output(5)
            if message["type"] == "websocket.close":
                assert message["code"] in DEFINED
            else:
                assert '"ready"' in message["text"]
        await socket.leave()
