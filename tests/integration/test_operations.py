"""Every operation over HTTP, by its path and in an envelope: the four tests each of them needs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.utils.translation import gettext_lazy, override

from tests.acting import Failing, Parrot, Staged
from tests.talk import kinds, run_input, text_of, within

from .site import first_event, read

WHOLE = [
    "RUN_STARTED",
    "TEXT_MESSAGE_START",
    "TEXT_MESSAGE_CONTENT",
    "TEXT_MESSAGE_END",
    "RUN_FINISHED",
]


@dataclass(frozen=True)
class Operation:
    """One operation of the protocol, in both forms it can be asked for."""

    method: str
    path: str
    body: Any = None
    #: Its name in an envelope; without one it is a resource.
    name: str | None = None

    def by_path(self, thread="t1", agent="default"):
        return self.method, self.path.format(thread=thread, agent=agent), self._body(thread)

    def in_envelope(self, thread="t1", agent="default"):
        if self.name is None:
            path = self.path.format(thread=thread, agent=agent)
            envelope = {
                "method": "resource/request",
                "params": {"path": path, "httpMethod": self.method},
            }
        else:
            envelope = {"method": self.name, "params": {"agentId": agent, "threadId": thread}}
        if self.body is not None:
            envelope["body"] = self._body(thread)
        return "POST", "", envelope

    def _body(self, thread):
        if isinstance(self.body, dict) and "threadId" in self.body:
            return {**self.body, "threadId": thread}
        return self.body


INPUT = run_input("hello")
CHANGE = {"agentId": "default", "name": "renamed"}
OPERATIONS = {
    "info": Operation("GET", "/info", name="info"),
    "run": Operation("POST", "/agent/{agent}/run", INPUT, name="agent/run"),
    "connect": Operation("POST", "/agent/{agent}/connect", INPUT, name="agent/connect"),
    "suggest": Operation("POST", "/agent/{agent}/suggest", INPUT, name="agent/suggest"),
    "stop": Operation("POST", "/agent/{agent}/stop/{thread}", name="agent/stop"),
    "threads": Operation("GET", "/threads"),
    "messages": Operation("GET", "/threads/{thread}/messages"),
    "events": Operation("GET", "/threads/{thread}/events"),
    "state": Operation("GET", "/threads/{thread}/state"),
    "update": Operation("PATCH", "/threads/{thread}", CHANGE),
    "archive": Operation("POST", "/threads/{thread}/archive", {"agentId": "default"}),
    "delete": Operation("DELETE", "/threads/{thread}", {"agentId": "default"}),
    "clear": Operation("POST", "/threads/clear"),
}
FORMS = {"path": Operation.by_path, "envelope": Operation.in_envelope}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


def only(*names):
    return pytest.mark.parametrize("operation", [OPERATIONS[name] for name in names], ids=names)


async def ask(caller, form, name, **ids):
    return await caller.ask(*form(OPERATIONS[name], **ids))


@each_form
class TestHappyPath:
    async def test_info(self, serve, alice, form):
        """What the endpoint offers, with every agent by its id."""
        serve(agents={"default": Parrot(), "other": Parrot()})

        answer = await ask(alice, form, "info")

        assert answer.status == 200
        assert list(answer.data["agents"]) == ["default", "other"]
        assert answer.data["agents"]["default"]["className"] == "Parrot"
        assert answer.data["mode"] == "sse"
        assert answer.data["telemetryDisabled"] is True
        assert "licenseStatus" not in answer.data
        assert ("singleRoute" in answer.data) is (form is Operation.in_envelope)

    async def test_info__translated(self, serve, alice, form):
        """Descriptions may be lazy translations."""
        parrot = Parrot()
        parrot.description = gettext_lazy("Monday")
        serve(agents={"default": parrot})

        with override("de"):
            answer = await ask(alice, form, "info")

        assert answer.status == 200
        assert answer.data["agents"]["default"]["description"] == "Montag"

    async def test_run(self, serve, alice, form):
        """A run is streamed from its start to its end."""
        serve()

        answer = await ask(alice, form, "run")

        assert kinds(answer.events) == WHOLE
        assert text_of(answer.events) == "hello"
        assert answer.events[0]["input"]["messages"] == INPUT["messages"]
        assert "no-cache" in answer.headers["Cache-Control"]

    async def test_connect(self, serve, alice, form):
        """The history of a thread is what its runs sent."""
        serve()
        sent = (await ask(alice, form, "run")).events

        answer = await ask(alice, form, "connect")

        assert kinds(answer.events) == kinds(sent)
        assert text_of(answer.events) == "hello"

    async def test_connect__unknown_thread(self, serve, alice, form):
        """A thread without history is an empty stream, not an error."""
        serve()

        answer = await ask(alice, form, "connect")

        assert answer.events == []

    async def test_suggest(self, serve, alice, form):
        """Suggestions are streamed like a run and leave no thread."""
        serve()

        answer = await ask(alice, form, "suggest")

        assert kinds(answer.events) == WHOLE
        assert (await ask(alice, form, "threads")).data["threads"] == []
        assert (await ask(alice, form, "connect")).events == []

    async def test_stop(self, serve, alice, form):
        """Stopping ends the live run of the thread, once."""
        agent = Staged()
        serve(agents={"default": agent})
        response = await alice.open(*OPERATIONS["run"].by_path())
        await within(agent.waiting.wait())

        first, second = await ask(alice, form, "stop"), await ask(alice, form, "stop")
        events = (await read(response)).events

        assert first.data["stopped"] is True
        assert second.data["stopped"] is False
        assert kinds(events) == WHOLE

    async def test_stop__nothing_runs(self, serve, alice, form):
        """On an idle thread there is nothing to stop, which is no error."""
        serve()

        answer = await ask(alice, form, "stop")

        assert answer.status == 200
        assert answer.data == {"stopped": False, "message": "No active run for thread 't1'."}

    async def test_threads(self, serve, alice, form):
        """The caller's threads are listed with the agent that ran last."""
        serve()
        await ask(alice, form, "run", thread="t1")
        await ask(alice, form, "run", thread="t2")

        answer = await ask(alice, form, "threads")

        assert sorted(thread["id"] for thread in answer.data["threads"]) == ["t1", "t2"]
        assert {thread["agentId"] for thread in answer.data["threads"]} == {"default"}
        assert answer.data["nextCursor"] is None

    async def test_clear(self, serve, alice, form):
        """Clearing leaves no thread of the caller."""
        serve()
        await ask(alice, form, "run")

        answer = await ask(alice, form, "clear")

        assert (answer.status, answer.body) == (204, b"")
        assert (await ask(alice, form, "threads")).data["threads"] == []
        assert (await ask(alice, form, "connect")).events == []


@each_form
@each_operation
async def test_operation__not_signed_in(serve, nobody, form, operation):
    """Nobody gets a JSON 401, whatever they ask for."""
    serve()

    answer = await nobody.ask(*form(operation))

    assert answer.status == 401
    assert answer.data["error"] == "unauthenticated"


@pytest.mark.parametrize("body", [b"", b"nonsense", b"{}"])
async def test_bare_mount__not_signed_in(serve, nobody, body):
    """The same holds for anything posted to the mount point itself."""
    serve()

    answer = await nobody.ask("POST", "", body)

    assert answer.status == 401
    assert answer.data["error"] == "unauthenticated"


async def test_unknown_route__not_signed_in(serve, nobody):
    """Which routes there are is told to nobody either."""
    serve()

    assert (await nobody.ask("GET", "/nowhere")).status == 401


@each_form
@only("connect", "stop", "messages", "events", "state", "update", "archive", "delete")
async def test_operation__someone_elses_thread(serve, alice, bob, form, operation):
    """Somebody else's thread is answered exactly like one that does not exist."""
    agent = Staged()
    serve(agents={"default": Parrot(), "slow": agent})
    await alice.run(run_input("mine", thread="t1"))
    live = await alice.open("POST", "/agent/slow/run", run_input(thread="t1", run="r2"))
    await within(agent.waiting.wait())

    theirs = await bob.ask(*form(operation, thread="t1"))
    unknown = await bob.ask(*form(operation, thread="t9"))

    assert theirs.status == unknown.status
    assert theirs.body.replace(b"t1", b"t9") == unknown.body
    agent.cue.set()
    assert kinds((await read(live)).events) == WHOLE
    assert text_of((await alice.connect(INPUT)).events) == "minepar"


@each_form
async def test_run__someone_elses_thread(serve, alice, bob, form):
    """Running on the id of somebody else's thread makes a thread of one's own."""
    serve()
    await alice.run(run_input("mine", run="r1"))

    await ask(bob, form, "run")

    assert text_of((await alice.connect(INPUT)).events) == "mine"
    assert text_of((await bob.connect(INPUT)).events) == "hello"


@each_form
async def test_run__someone_elses_live_thread(serve, alice, bob, form):
    """A live run of somebody else does not make one's own thread of that id busy."""
    agent = Staged()
    serve(agents={"default": Parrot(), "slow": agent})
    await alice.open("POST", "/agent/slow/run", INPUT)
    await within(agent.waiting.wait())

    assert kinds((await ask(bob, form, "run")).events) == WHOLE


@each_form
async def test_threads__someone_elses(serve, alice, bob, form):
    """Neither listed nor cleared: somebody else's threads."""
    serve()
    await alice.run(INPUT)

    listed = await ask(bob, form, "threads")
    await ask(bob, form, "clear")

    assert listed.data["threads"] == []
    assert text_of((await alice.connect(INPUT)).events) == "hello"


@each_form
@only("run", "connect", "suggest", "stop")
async def test_operation__unknown_agent(serve, alice, form, operation):
    """An agent that does not exist is named, before the body is looked at."""
    serve()

    answer = await alice.ask(*form(operation, agent="nope"))

    assert answer.status == 404
    assert answer.data == {"error": "Agent not found", "message": "Agent 'nope' does not exist"}


MALFORMED = [b"", b"nonsense", b"[]", b"{}", b'{"threadId": "t1"}', b"\xff", b"[" * 1000]


@pytest.mark.parametrize("body", MALFORMED)
@pytest.mark.parametrize("name", ["run", "connect", "suggest"])
async def test_operation__malformed_body(serve, alice, name, body):
    """A body that is no run input is refused with a reason."""
    serve()

    answer = await alice.ask("POST", f"/agent/default/{name}", body)

    assert answer.status == 400
    assert answer.data["error"] == "Invalid request body"
    assert answer.data["details"]


@pytest.mark.parametrize("name", ["run", "connect", "suggest"])
@pytest.mark.parametrize("body", [b"nonsense", {}, [], "text", run_input(tools=...)])
async def test_envelope__malformed_body(serve, alice, name, body):
    """The same holds for what an envelope carries."""
    serve()
    if isinstance(body, bytes):
        body = body.decode()
    envelope = {"method": f"agent/{name}", "params": {"agentId": "default"}, "body": body}

    answer = await alice.ask("POST", "", envelope)

    assert answer.status == 400
    assert answer.data["error"] == "Invalid request body"


async def test_envelope__body_as_text(serve, alice):
    """A body that is a text is taken as the raw body it is."""
    serve()
    envelope = {
        "method": "agent/run",
        "params": {"agentId": "default"},
        "body": json.dumps(INPUT),
    }

    assert kinds((await alice.ask("POST", "", envelope)).events) == WHOLE


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"nonsense", "Invalid stop request"),
        (b"[]", "Invalid stop request"),
        (b"null", "Invalid stop request"),
        (b'{"runId": "r1", "x": 1}', "Invalid stop request"),
        (b'{"runId": null}', "Invalid runId"),
        (b'{"runId": " "}', "Invalid runId"),
        (b'{"runId": 7}', "Invalid runId"),
    ],
)
async def test_stop__malformed_body(serve, alice, body, error):
    """The optional body of stop is held to its shape."""
    serve()

    answer = await alice.ask("POST", "/agent/default/stop/t1", body)

    assert (answer.status, answer.data) == (400, {"error": error})


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_stop__without_run_id(serve, alice, body):
    """Without a run id any run of the thread is meant."""
    serve()

    answer = await alice.ask("POST", "/agent/default/stop/t1", body)

    assert answer.data["message"] == "No active run for thread 't1'."


async def test_stop__other_run(serve, alice):
    """With a run id only that run is stopped."""
    agent = Staged()
    serve(agents={"default": agent})
    await alice.open(*OPERATIONS["run"].by_path())
    await within(agent.waiting.wait())

    other = await alice.ask("POST", "/agent/default/stop/t1", {"runId": "r9"})
    own = await alice.ask("POST", "/agent/default/stop/t1", {"runId": "r1"})

    assert other.data == {
        "stopped": False,
        "message": "Run 'r9' is not the active run for thread 't1'.",
    }
    assert own.data["stopped"] is True


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b" ", "application/json", 400),
        (b"nonsense", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"method": "agent/walk"}', "application/json", 400),
        (b'{"method": "info"}', "text/plain", 415),
        (b'{"method": "info"}', "application/json; charset=utf-8", 200),
    ],
)
async def test_envelope__malformed(serve, alice, body, content_type, status):
    """A malformed envelope is answered in JSON with what is wrong."""
    serve()

    answer = await alice.ask("POST", "", body, content_type=content_type)

    assert answer.status == status
    if status != 200:
        assert answer.data["error"] == "invalid_request"
        assert answer.data["message"]


async def test_route__unknown(serve, alice):
    """What is no route is a JSON 404."""
    serve()

    answer = await alice.ask("GET", "/nowhere")

    assert (answer.status, answer.data) == (404, {"error": "Not found"})


async def test_route__wrong_method(serve, alice):
    """A route asked for with another method names its own."""
    serve()

    answer = await alice.ask("GET", "/agent/default/run")

    assert (answer.status, answer.data) == (405, {"error": "Method not allowed"})
    assert answer.headers["Allow"] == "POST"


class TestRun:
    async def test_run__busy_thread(self, serve, alice):
        """A second run on a thread is refused in the only form the official client shows."""
        agent = Staged()
        serve(agents={"default": agent})
        await alice.open(*OPERATIONS["run"].by_path())
        await within(agent.waiting.wait())

        answer = await alice.run(run_input(run="r2"))

        (event,) = answer.events
        assert (event["type"], event["code"]) == ("RUN_ERROR", "THREAD_BUSY")

    async def test_run__two_stateful_runs(self, serve, alice):
        """Two runs of one stateful agent share nothing."""

        class Counting(Parrot):
            def __init__(self):
                self.heard = []

            async def run(self, context):
                self.heard.append(context.last_user_text)
                yield context.started()
                yield {"type": "CUSTOM", "name": "heard", "value": list(self.heard)}
                yield context.finished()

        agent = Counting()
        serve(agents={"default": agent})

        answers = [await alice.run(run_input(text, thread=text)) for text in ("one", "two")]

        assert [answer.events[1]["value"] for answer in answers] == [["one"], ["two"]]
        assert agent.heard == []

    async def test_run__agent_that_cannot_be_cloned(self, serve, alice):
        """An agent that cannot be copied is an error before the stream begins."""

        class Uncopyable(Parrot):
            def clone(self):
                raise TypeError("secret")

        serve(agents={"default": Uncopyable()})

        answer = await alice.run(INPUT)

        assert answer.status == 500
        assert answer.data["error"] == "Failed to run agent"
        assert b"secret" not in answer.body
        # Where it need not run, it need not be copied.
        assert (await alice.connect(INPUT)).events == []
        assert (await alice.ask("POST", "/agent/default/stop/t1")).data["stopped"] is False

    async def test_run__agents_made_for_the_request(self, serve, alice, bob):
        """A factory sees the request and decides who has which agents."""

        async def factory(request):
            return {request.headers["x-user"]: Parrot()}

        serve(agents=factory)

        assert list((await alice.ask("GET", "/info")).data["agents"]) == ["alice"]
        assert (await bob.run(INPUT, agent="bob")).status == 200
        assert (await bob.run(INPUT, agent="alice")).status == 404

    async def test_run__factory_fails(self, serve, alice):
        """Where the factory fails every operation that needs an agent says so in its own words."""

        def factory(request):
            raise RuntimeError("secret")

        serve(agents=factory)

        run, info = await alice.run(INPUT), await alice.ask("GET", "/info")

        assert (run.status, run.data["error"]) == (500, "Failed to run agent")
        assert (info.status, info.data["error"]) == (
            500,
            "Failed to retrieve runtime information",
        )
        assert b"secret" not in run.body + info.body

    async def test_run__suggestions(self, serve, alice):
        """Clients without a suggest route ask here; that leaves no thread and holds none."""
        choice = {"type": "function", "function": {"name": "copilotkitSuggest"}}
        tool = {"name": "copilotkitSuggest", "description": "", "parameters": {}}
        wire = run_input("hello", forwardedProps={"toolChoice": choice}, tools=[tool])
        serve()

        answer = await alice.run(wire)

        assert kinds(answer.events) == WHOLE
        assert (await alice.ask("GET", "/threads")).data["threads"] == []
        assert (await alice.connect(INPUT)).events == []

    async def test_run__headers(self, serve, alice):
        """The agent sees the headers the policy lets through, and no others."""
        agent = Staged()
        agent.cue.set()
        serve(agents={"default": agent})

        await alice.run(INPUT, authorization="Bearer x", x_real_ip="1.2.3.4", accept="*/*")

        assert agent.contexts[0].headers == {"authorization": "Bearer x", "x-user": "alice"}

    async def test_run__one_agent_cannot_tell_its_capabilities(self, serve, alice):
        """An agent that fails at describing itself does not take the others away."""

        class Shy(Parrot):
            async def capabilities(self):
                raise RuntimeError("secret")

        class Proud(Parrot):
            async def capabilities(self):
                return {"streaming": {"supported": True}}

        serve(agents={"shy": Shy(), "proud": Proud()})

        agents = (await alice.ask("GET", "/info")).data["agents"]

        assert "capabilities" not in agents["shy"]
        assert agents["proud"]["capabilities"] == {"streaming": {"supported": True}}

    async def test_run__keep_alive(self, serve, alice):
        """A silent stream is kept alive with comments."""
        agent = Staged()
        serve(agents={"default": agent}, keepalive_seconds=0.01)
        response = await alice.open(*OPERATIONS["run"].by_path())

        chunks = await first_event(response)

        assert await within(anext(chunks)) == b": keep-alive\n\n"
        agent.cue.set()
        async for chunk in chunks:
            assert chunk.startswith((b": keep-alive", b"data: "))


async def test_connect__live_run(serve, alice):
    """A second browser joins a live run and sees it to its end."""
    agent = Staged()
    serve(agents={"default": agent})
    first = await alice.open(*OPERATIONS["run"].by_path())
    await within(agent.waiting.wait())
    second = await alice.open(*OPERATIONS["connect"].by_path())
    agent.cue.set()

    answers = await asyncio.gather(read(first), read(second))

    assert kinds(answers[0].events) == WHOLE
    assert answers[0].body == answers[1].body


async def test_errors__agent(serve, alice, caplog):
    """What an agent raised stands in the log, under the id that the client was given."""
    serve(agents={"default": Failing(2, RuntimeError("secret"))})

    events = (await alice.run(INPUT)).events

    incident = events[-1]["message"].rstrip(").").split()[-1]
    (record,) = [each for each in caplog.records if incident in each.getMessage()]
    assert record.exc_info[1].args == ("secret",)
    assert "secret" not in str(events)


async def test_errors__exposed(serve, alice):
    """With EXPOSE_ERROR_TEXT the client is given the text itself."""
    serve(agents={"default": Failing(2, RuntimeError("the reason"))}, expose_error_text=True)

    events = (await alice.run(INPUT)).events

    assert events[-1]["message"] == "the reason"
