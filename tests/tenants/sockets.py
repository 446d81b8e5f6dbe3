"""The websocket doors: every command of the connect socket, every event of live thread lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from copilotkit_django import realtime
from copilotkit_django.asgi import get_asgi_application
from copilotkit_django.consumers.phoenix import SOCKET_TOPIC
from copilotkit_django.consumers.protocol import FIELDS
from copilotkit_django.consumers.realtime import EVENTS
from copilotkit_django.operations.call import Call
from copilotkit_django.routing import patterns_for
from tests.websockets.phoenix import Page
from tests.websockets.sockets import Talk

from .doors import Ask, Question, Seen
from .http import BOTH, input_for, resuming, sent_before
from .world import Person, Target, World

#: What is said besides the type and the id of a command.
Fields = Callable[[Target], Mapping[str, Any]]

COMMANDS: dict[str, dict[str, Fields]] = {
    "connect": {
        "": lambda target: {"threadId": target.thread_id},
        "after a cursor": lambda target: {"threadId": target.thread_id, "after": "1.0"},
    },
    "run": {
        "": lambda target: {"input": input_for(target)},
        "as its owner did": lambda target: {"input": sent_before(target)},
        "to resume": lambda target: {"input": resuming(target)},
    },
    "stop": {
        "": lambda target: {"threadId": target.thread_id},
        "one run": lambda target: {"threadId": target.thread_id, "runId": target.run_id},
    },
    "leave": {"": lambda target: {"id": target.run_id}},
    "ping": {"": lambda target: {"id": target.run_id}},
    "ack": {"": lambda target: {"frame": 1}},
}

#: Those that are answered with something at the end of which the answer is there.
ENDS = ("end", "result", "error", "pong")

#: How long a list that is told nothing is listened to.
SILENCE_SECONDS = 0.05


def application_of(world: World) -> Any:
    return get_asgi_application(patterns_for(lambda: world.runtime))


def cookies_of(person: Person) -> dict[str, str]:
    return {name: morsel.value for name, morsel in person.caller.client.cookies.items()}


class ConnectDoor:
    """Runs, follows and stops threads over a socket."""

    name = "socket"
    runners = BOTH

    def operations(self) -> Sequence[str]:
        return list(FIELDS)

    def questions(self, operation: str) -> Sequence[Question]:
        return [
            # One socket asks for much that has nothing to do with threads.
            Question(" ".join(filter(None, [operation, how])), _command(operation, fields))
            for how, fields in COMMANDS.get(operation, {}).items()
        ]


def _command(kind: str, fields: Fields) -> Ask:
    async def ask(world: World, person: Person, target: Target) -> Seen:
        socket = await Talk(application_of(world), cookies=cookies_of(person)).opened()
        await socket.say({"type": kind, "id": "question", **fields(target)})
        # Not every command is answered; a ping that comes back says that it was dealt with.
        if kind in ("leave", "ack"):
            await socket.say({"type": "ping"})
        events: list[Any] = []
        while (message := await socket.hear())["type"] not in ENDS:
            # How many come in a frame is chance.
            events += message["events"]
        await socket.leave()
        return Seen(message["type"], json.dumps([events, message]).encode())

    return ask


class ListDoor:
    """Joins the topics of live thread lists."""

    name = "live-lists"
    runners = BOTH

    def operations(self) -> Sequence[str]:
        return EVENTS

    def questions(self, operation: str) -> Sequence[Question]:
        topics = {"heartbeat": _socket_topic, "phx_join": _topic, "phx_leave": _topic}
        if operation not in topics:
            return []
        return [
            Question(operation, _event(operation, topics[operation]), counted=False),
            Question(f"{operation} of one's own list", _event(operation, None), counted=False),
        ]


def _socket_topic(world: World, target: Target) -> str:
    return SOCKET_TOPIC


def _topic(world: World, target: Target) -> str:
    scope = "nobody" if target.owner is None else target.owner.scope
    return f"user_meta:{realtime.join_code(scope)}"


def _event(event: str, topic: Callable[[World, Target], str] | None) -> Ask:
    async def ask(world: World, person: Person, target: Target) -> Seen:
        request = type("Request", (), {"COOKIES": cookies_of(person)})()
        call = Call(endpoint=world.runtime.endpoint, scope=person.scope, request=request)
        page = await Page(application_of(world), await realtime.join_token(call)).opened()
        own = f"user_meta:{realtime.join_code(person.scope)}"
        answer = await page.ask(own if topic is None else topic(world, target), event)
        told = []
        while not await page.receive_nothing(SILENCE_SECONDS):
            told.append(await page.hear())
        await page.leave()
        # A list of one's own tells of one's own threads, which come and go between two questions.
        ids = sorted({each[4].get("threadId", "") for each in told})
        unlike = [] if topic is None else ids
        seen = json.dumps([answer, unlike]).encode()
        assert not (target.owner and target.owner is not person and _names(told, target)), told
        return Seen(answer["status"], seen)

    return ask


def _names(told: Sequence[Any], target: Target) -> bool:
    """Whether something of a thread of somebody else's was told."""
    return target.owner is not None and any(
        secret.decode() in json.dumps(told) for secret in target.owner.secrets
    )
