"""The HTTP door: every route of the table by its path, every method of the envelope."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from copilotkit_django.operations.threads import END_OF_TIME
from copilotkit_django.routes import ENVELOPE_METHODS, PATTERNS, RESOURCES
from tests.integration.site import Answer
from tests.talk import run_input

from .doors import Question, Seen
from .world import Person, Target, World

BOTH = ("memory", "database")


def input_for(target: Target, **fields: Any) -> dict[str, Any]:
    """The input of a run on a thread, whoever's it is."""
    return run_input("tell me", thread=target.thread_id, run=target.run_id, **fields)


def sent_before(target: Target) -> dict[str, Any]:
    """The very input its owner has sent."""
    if target.owner is None:
        return input_for(target)
    kind = target.thread_id.partition("-")[0]
    return target.owner.body(kind)


def resuming(target: Target) -> dict[str, Any]:
    answers = [{"interruptId": "i", "status": "resolved", "payload": True}]
    return input_for(target, resume=answers)


def suggesting(target: Target) -> dict[str, Any]:
    tool = {"name": "copilotkitSuggest", "description": "", "parameters": {"type": "object"}}
    choice = {"type": "function", "function": {"name": tool["name"]}}
    return input_for(target, tools=[tool], forwardedProps={"toolChoice": choice})


def page_after(target: Target) -> str:
    """The cursor of a page that begins with a thread."""
    place = json.dumps([END_OF_TIME - 1, target.thread_id]).encode()
    return base64.urlsafe_b64encode(place).decode()


@dataclass(frozen=True)
class Way:
    """One way to ask for an operation: what is said besides its path."""

    body: Callable[[Target], Any] | None = None
    query: Callable[[Target], str] = lambda target: ""
    headers: Mapping[str, str] = field(default_factory=dict)


def query(text: str) -> Callable[[Target], str]:
    return lambda target: text


def body(value: Any) -> Callable[[Target], Any]:
    return lambda target: value


NAMED = {"agentId": "default"}

#: How to ask for each operation: by name, and by HTTP method where it makes a difference.
WAYS: dict[str, dict[str, Way]] = {
    "info": {"": Way()},
    "inspector/metadata": {"": Way()},
    "inspector/learning": {"": Way()},
    "transcribe": {"": Way(body({"audio": "AAAA", "mimeType": "audio/webm"}))},
    "cpk-debug-events": {"": Way()},
    "agent/run": {
        "": Way(input_for),
        "as its owner did": Way(sent_before),
        "to resume": Way(resuming),
        "for suggestions": Way(suggesting),
        "of 1.0": Way(lambda target: input_for(target, protocolVersion="1.0")),
        "with a cursor": Way(input_for, headers={"last-event-id": "1.0"}),
    },
    "agent/suggest": {"": Way(suggesting)},
    "agent/connect": {
        "": Way(input_for),
        "of 1.0": Way(lambda target: input_for(target, protocolVersion="1.0")),
        "after a cursor": Way(input_for, query("?after=1.0")),
        "from the start": Way(input_for, headers={"last-event-id": "0.0"}),
        "seen": Way(lambda target: input_for(target, lastSeenEventId="1")),
    },
    "agent/stop": {
        "": Way(),
        "one run": Way(lambda target: {"runId": target.run_id}),
    },
    "threads/subscribe": {"": Way(body({}))},
    "threads/messages": {"": Way()},
    "threads/events": {"": Way()},
    "threads/state": {"": Way()},
    "threads/archive": {"": Way(body(NAMED))},
    "threads/clear": {"": Way(body({}))},
    "PATCH threads/update": {
        "name": Way(body({**NAMED, "name": "mine now"})),
        "archive": Way(body({**NAMED, "archived": True})),
        "restore": Way(body({**NAMED, "archived": False})),
    },
    "DELETE threads/update": {"": Way(body(NAMED))},
    "threads/list": {
        "": Way(),
        "all": Way(query=query("?includeArchived=true&agentId=default")),
        "page": Way(query=lambda target: f"?limit=50&cursor={page_after(target)}"),
        "other owner": Way(query=query("?userId=1&scope=user:1&user=1&organizationId=1")),
    },
    "memories/recall": {"": Way(body({"query": "secret"}))},
    "memories/subscribe": {"": Way(body({}))},
    "PATCH memories/mutate": {"": Way(body({}))},
    "DELETE memories/mutate": {"": Way(body({}))},
    "GET memories/list": {"": Way()},
    "POST memories/list": {"": Way(body({}))},
    "websocket/ticket": {"": Way(body({}))},
    "annotate": {
        "": Way(lambda target: {"type": "feedback", "threadId": target.thread_id}),
    },
}

#: What is about no thread in particular.
ABOUT_ALL = ("info", "inspector/", "transcribe", "cpk-debug-events", "memories/", "websocket/")
LISTS = ("threads/list", "threads/clear", "threads/subscribe")


def ways(operation: str) -> Iterator[tuple[str, Way]]:
    """The ways to ask for ``METHOD name``."""
    _, _, name = operation.partition(" ")
    known = WAYS.get(operation) or WAYS.get(name) or {}
    for how, way in known.items():
        yield " ".join(filter(None, [operation, how])), way


def paths() -> dict[str, tuple[str, str]]:
    """``METHOD name`` of everything that has a path, with its HTTP method and the path."""
    return {
        f"{method} {pattern.name}": (method, "/" + "/".join(pattern.segments))
        for pattern in PATTERNS
        for method in pattern.methods
    }


def filled(path: str, target: Target) -> str:
    named = path.replace(":agent_id", "default").replace(":thread_id", target.thread_id)
    return named.replace(":memory_id", target.thread_id)


def seen(answer: Answer) -> Seen:
    return Seen(answer.status, answer.body, dict(answer.headers))


def _is_about_thread(operation: str) -> bool:
    name = operation.partition(" ")[2]
    return not name.startswith(ABOUT_ALL) and name not in LISTS


class PathDoor:
    """Every route and each of its HTTP methods."""

    name = "path"
    runners = BOTH

    def operations(self) -> Sequence[str]:
        return list(paths())

    def questions(self, operation: str) -> Sequence[Question]:
        method, path = paths()[operation]
        return [
            Question(how, self._asker(method, path, way), _is_about_thread(operation))
            for how, way in ways(operation)
        ]

    def _asker(self, method: str, path: str, way: Way) -> Any:
        async def ask(world: World, person: Person, target: Target) -> Seen:
            where = filled(path, target) + way.query(target)
            said = None if way.body is None else way.body(target)
            return seen(await person.caller.ask(method, where, said, **way.headers))

        return ask


class EnvelopeDoor:
    """Every method of the envelope, and every resource that can be asked for through it."""

    name = "envelope"
    runners = BOTH

    def operations(self) -> Sequence[str]:
        methods = [f"POST {method}" for method in ENVELOPE_METHODS if method != "resource/request"]
        resources = [
            f"resource {operation}"
            for operation in paths()
            if operation.partition(" ")[2].startswith(RESOURCES)
        ]
        return [*methods, *resources]

    def questions(self, operation: str) -> Sequence[Question]:
        resource = operation.removeprefix("resource ")
        is_resource = resource != operation
        return [
            Question(
                f"envelope {how}",
                self._asker(resource, way, is_resource=is_resource),
                _is_about_thread(resource),
            )
            for how, way in ways(resource)
        ]

    def _asker(self, operation: str, way: Way, *, is_resource: bool) -> Any:
        async def ask(world: World, person: Person, target: Target) -> Seen:
            params = {"agentId": "default", "threadId": target.thread_id}
            envelope: dict[str, Any] = {"method": operation.partition(" ")[2], "params": params}
            if is_resource:
                method, path = paths()[operation]
                params = {"httpMethod": method, "path": filled(path, target) + way.query(target)}
                envelope = {"method": "resource/request", "params": params}
            if way.body is not None:
                envelope["body"] = way.body(target)
            return seen(await person.caller.ask("POST", "", envelope, **way.headers))

        return ask
