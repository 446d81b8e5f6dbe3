"""Two users and two visitors, each with threads of their own that hold a secret each."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Self

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

from copilotkit_django.agents import Agent, RunContext
from copilotkit_django.hooks import copilotkit
from copilotkit_django.runners import AgentRunner, ThreadRef
from copilotkit_django.runners.threads import ThreadQuery
from copilotkit_django.runtime import Runtime
from tests.integration.site import Caller, first_event
from tests.talk import collect, run_input, until

#: Names of one length, so that answers that show an id are as long as each other.
USERS = ("alice", "bobby")
VISITORS = ("vicky", "wendy")
NOBODY = "nobod"

SAME_ORIGIN = {"origin": "http://testserver"}

#: The threads each of them has, besides one whose id all of them use.
KINDS = ("quiet", "alive")
SHARED = "shared"


class Teller(Agent):
    """Tells each scope a secret of its own, by every kind of event that is kept."""

    def __init__(self) -> None:
        #: By scope.
        self.secrets: dict[str, str] = {}
        #: Scopes and threads on which runs wait for the cue.
        self.asked_to_wait: set[tuple[str, str]] = set()
        #: Scopes with a run that does.
        self.waiting: set[str] = set()
        self.cue = asyncio.Event()

    def clone(self) -> Self:
        return self

    async def run(self, context: RunContext) -> AsyncIterator[dict[str, Any]]:
        secret = self.secrets.setdefault(context.scope, secrets.token_hex(16))
        message, call = f"m-{context.run_id}", f"c-{context.run_id}"
        start = {"toolCallName": secret, "parentMessageId": message}
        yield context.started()
        yield {"type": "TEXT_MESSAGE_START", "messageId": message, "role": "assistant"}
        yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": message, "delta": secret}
        yield {"type": "TEXT_MESSAGE_END", "messageId": message}
        yield {"type": "TOOL_CALL_START", "toolCallId": call, **start}
        yield {"type": "TOOL_CALL_ARGS", "toolCallId": call, "delta": json.dumps(secret)}
        yield {"type": "TOOL_CALL_END", "toolCallId": call}
        result = {"messageId": f"r-{context.run_id}", "content": secret}
        yield {"type": "TOOL_CALL_RESULT", "toolCallId": call, **result}
        yield {"type": "STATE_SNAPSHOT", "snapshot": {"secret": secret}}
        yield {"type": "CUSTOM", "name": secret, "value": secret}
        if (context.scope, context.thread_id) in self.asked_to_wait:
            self.waiting.add(context.scope)
            await self.cue.wait()
        yield context.finished()


@dataclass(frozen=True)
class Target:
    """A thread to ask about; ``owner`` is ``None`` for one that is not there."""

    thread_id: str
    run_id: str
    owner: Person | None = None
    #: The primary key of its row, where rows are asked about.
    pk: int = 0


@dataclass(eq=False)
class Person:
    """Somebody with a browser."""

    name: str
    caller: Caller
    user: Any = None
    scope: str = ""
    #: What nobody else may ever see.
    secrets: list[bytes] = field(default_factory=list)

    def thread_id(self, kind: str) -> str:
        return kind if kind == SHARED else f"{kind}-{self.name}"

    def ref(self, kind: str) -> ThreadRef:
        return ThreadRef(self.scope, self.thread_id(kind))

    def body(self, kind: str) -> dict[str, Any]:
        """What they sent to start the run on a thread."""
        return run_input("tell me", thread=self.thread_id(kind), run=f"run-{kind}-{self.name}")


class World:
    """An endpoint, the people who use it, and what they have there."""

    def __init__(self, runtime: Runtime, agent: Teller) -> None:
        self.runtime = runtime
        self.agent = agent
        self.people: dict[str, Person] = {}

    @property
    def runner(self) -> AgentRunner:
        return self.runtime.runner

    async def populate(self) -> None:
        """Let all of them come in and talk."""
        for name in (*USERS, *VISITORS):
            person = Person(name, Caller(headers=dict(SAME_ORIGIN)))
            if name in USERS:
                person.user = await get_user_model().objects.acreate_user(name)
                await person.caller.client.aforce_login(person.user)
            self.people[name] = person
            response = await person.caller.open("GET", "/info")
            person.scope = copilotkit(response.asgi_request).scope
            await self.refill(person)
            name_of_thread = secrets.token_hex(16)
            body = {"agentId": "default", "name": name_of_thread}
            for kind in ("quiet", SHARED):
                path = f"/threads/{person.thread_id(kind)}"
                assert (await person.caller.ask("PATCH", path, body)).status == 200
            found = (self.agent.secrets[person.scope], name_of_thread)
            person.secrets += [secret.encode() for secret in found]

    async def staff(self, name: str, *permissions: str) -> Person:
        """Somebody else who may come into the admin, and do there what is named."""
        person = Person(name, Caller(headers=dict(SAME_ORIGIN)))
        person.user = await get_user_model().objects.acreate_user(name, is_staff=True)
        granted = Permission.objects.filter(codename__in=permissions)
        await person.user.user_permissions.aset([found async for found in granted])
        await person.caller.client.aforce_login(person.user)
        return person

    async def refill(self, person: Person) -> None:
        """Let somebody have the threads again that they have deleted."""
        for kind in ("quiet", SHARED):
            if not await collect(await self.runner.connect(person.ref(kind))):
                answer = await person.caller.run(person.body(kind))
                assert answer.events[-1]["type"] == "RUN_FINISHED"
        if not await self.runner.is_running(person.ref("alive")):
            self.agent.asked_to_wait.add((person.scope, person.thread_id("alive")))
            self.agent.waiting.discard(person.scope)
            response = await person.caller.open("POST", "/agent/default/run", person.body("alive"))
            # The run goes on without its reader.
            await (await first_event(response)).aclose()
            await until(lambda: person.scope in self.agent.waiting)

    async def clear(self, person: Person, target: Target) -> None:
        """Undo what a question about a thread that is not theirs has made of it."""
        store = self.runner.threads
        assert store is not None
        await store.delete(ThreadRef(person.scope, target.thread_id))

    async def belongings(self, person: Person) -> Any:
        """Everything somebody has: their threads, what is said on them, whether they run."""
        store = self.runner.threads
        assert store is not None
        threads = await store.list(person.scope, ThreadQuery(include_archived=True))
        events = [
            await collect(await store.events(ThreadRef(person.scope, record.thread_id)))
            for record in threads
        ]
        live = [await self.runner.is_running(person.ref(kind)) for kind in (*KINDS, SHARED)]
        return threads, events, live

    def target(self, person: Person, kind: str) -> Target:
        return Target(person.thread_id(kind), person.body(kind)["runId"], person)

    def nowhere(self, kind: str) -> Target:
        """A thread nobody has."""
        return Target(f"{kind}-{NOBODY}", f"run-{kind}-{NOBODY}")
