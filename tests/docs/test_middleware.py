"""What the page on hooks and middleware says is so."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core import signing
from django.core.cache import cache
from django.core.checks import run_checks

from copilotkit_django.after import AfterRequest
from copilotkit_django.asgi import AFTER_SECONDS
from tests.acting import Failing, Parrot, Staged
from tests.integration.site import Caller
from tests.talk import kinds, run_input, until

from .pages import DOCS, Page


class Told(list):
    """Stands for code of the reader's that is told something, sync or async."""

    def __call__(self, *arguments: Any, **named: Any) -> None:
        self.append((*arguments, named) if arguments else named)

    async def later(self, *arguments: Any, **named: Any) -> None:
        self(*arguments, **named)

    #: As tasks of Celery are called.
    delay = __call__


class DirectoryDown(Exception):
    pass


class Directory:
    """Looks people up, or is down."""

    error: Exception | None = None

    def look_up(self, scope: str) -> str:
        if self.error is not None:
            raise self.error
        return f"profile of {scope}"


track, book, capture, record = Told(), Told(), Told(), Told()
directory = Directory()

page = Page(
    "how-to/middleware.md",
    mysite__analytics={"track": track.later},
    mysite__accounting={"book": book},
    mysite__directory={"DirectoryDown": DirectoryDown, "look_up": directory.look_up},
    mysite__monitoring={"capture": capture},
    mysite__tasks={"record": record},
)

in_database = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _as_new():
    for told in (track, book, capture, record):
        told.clear()
    directory.error = None
    cache.clear()


@pytest.fixture
def agent(project, settings):
    """An agent that tells what it was given; all agents of the endpoint are it."""
    agent = Staged()
    agent.cue.set()
    agents = {"default": agent, "billing": agent}
    settings.COPILOTKIT = {**settings.COPILOTKIT, "AGENTS": agents}
    return agent


class Working(Parrot):
    """Calls a tool, sends a state, answers, and says what it cost."""

    async def run(self, context):
        yield context.started()
        yield {"type": "STATE_SNAPSHOT", "snapshot": {"step": 1}}
        yield {"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "search"}
        yield {"type": "TOOL_CALL_ARGS", "toolCallId": "c1", "delta": "{}"}
        yield {"type": "TOOL_CALL_END", "toolCallId": "c1"}
        yield {
            "type": "TOOL_CALL_RESULT",
            "toolCallId": "c1",
            "messageId": "m1",
            "content": "found it",
        }
        yield context.finished(usage=[{"model": "a", "totalTokens": 30}, {"totalTokens": 12}])


@pytest.fixture
def working(project, settings):
    settings.COPILOTKIT = {**settings.COPILOTKIT, "AGENTS": {"default": Working()}}


async def signed_in(settings, name="ada", **fields) -> Caller:
    settings.COPILOTKIT = {**settings.COPILOTKIT, "AUTHENTICATION": "session"}
    browser = Caller(headers={"origin": "http://testserver"})
    await browser.client.aforce_login(await User.objects.acreate_user(name, **fields))
    return browser


def badge(salt="badge", **claims) -> dict[str, str]:
    return {"authorization": f"Bearer {signing.dumps(claims, salt=salt)}"}


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


def test_page__what_after_is_given():
    """The table names all there is, and nothing else."""
    text = (DOCS / page.path).read_text(encoding="utf-8")
    _, _, section = text.partition("## What the after middleware is given")
    cells = re.findall(r"^\| (`[^|]+) \|", section.partition("\n## ")[0], re.MULTILINE)
    named = {name for cell in cells[1:] for name in re.findall(r"`(\w+)`", cell)}

    fields = {field.name for field in dataclasses.fields(AfterRequest)}
    made = {name for name in vars(AfterRequest) if not name.startswith("_")}
    assert named == fields | made


class TestCheckBadge:
    @page("Check a credential")
    async def test_badge__none(self, project, alice, agent):
        """Without a badge there is a challenge, and no run."""
        answer = await alice.run(run_input())

        assert (answer.status, answer.data) == (401, {"error": "unauthorized"})
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert agent.contexts == []

    @page("Check a credential")
    async def test_badge__forged(self, project, alice):
        """One that somebody else signed is refused."""
        answer = await alice.run(run_input(), **badge(salt="other", role="admin"))

        assert (answer.status, answer.data) == (403, {"error": "invalid badge"})

    @page("Check a credential")
    async def test_badge__valid(self, project, alice, agent):
        """What the badge says the agent finds."""
        answer = await alice.run(run_input(), **badge(role="admin"))

        assert answer.status == 200
        assert agent.contexts[0].request_context["role"] == "admin"


@in_database
class TestGuardBilling:
    @page("Allow a route to some")
    async def test_guard(self, project, settings):
        """Accountants may use the agent; others may neither run it nor connect to it."""
        ada, bob = await signed_in(settings, "ada"), await signed_in(settings, "bob")
        group = await Group.objects.acreate(name="accounting")
        await group.user_set.aadd(await User.objects.aget(username="ada"))

        assert (await ada.run(run_input(), agent="billing")).status == 200
        refused = await bob.run(run_input(), agent="billing")
        assert (refused.status, refused.data["error"]) == (403, "forbidden")
        assert (await bob.connect(run_input(), agent="billing")).status == 403
        assert (await bob.run(run_input())).status == 200

    @page("Allow a route to some")
    async def test_guard__envelope(self, project, settings):
        """An envelope is no way around it."""
        bob = await signed_in(settings, "bob")
        envelope = {
            "method": "agent/run",
            "params": {"agentId": "billing"},
            "body": run_input(),
        }

        assert (await bob.ask("POST", "", envelope)).status == 403


@page("Log requests")
async def test_log(project, alice, caplog):
    """There is a line when a request comes, and one with the time it took."""
    caplog.set_level(logging.INFO, "mysite.assistant")

    await alice.run(run_input())
    await until(lambda: len(caplog.messages) == 2)

    path = "/api/copilotkit/agent/default/run"
    assert caplog.messages[0] == f"POST {path} by user:alice"
    assert caplog.messages[1].startswith(f"{path}: 200 after 0.")


@page("Limit the rate")
async def test_rate(project, alice, bob):
    """The sixty-first request within a minute is told when to come back; others are not."""
    for _ in range(60):
        assert (await alice.ask("GET", "/info")).status == 200

    answer = await alice.ask("GET", "/info")

    assert (answer.status, answer.data) == (429, {"error": "Too many requests"})
    assert 0 <= int(answer.headers["Retry-After"]) <= 60
    assert (await bob.ask("GET", "/info")).status == 200


class TestCheckLength:
    @page("Check what was asked")
    @pytest.mark.parametrize("single", [False, True])
    async def test_length(self, project, alice, single):
        """A message that is too long is refused, whichever way it came."""
        wire = run_input("x" * 4001)
        envelope = {"method": "agent/run", "params": {"agentId": "default"}, "body": wire}

        answer = await (alice.ask("POST", "", envelope) if single else alice.run(wire))

        assert (answer.status, answer.data) == (400, {"error": "At most 4000 characters."})

    @page("Check what was asked")
    async def test_length__fits(self, project, alice):
        """Any other runs."""
        assert kinds((await alice.run(run_input("x" * 4000))).events)[-1] == "RUN_FINISHED"

    @page("Check what was asked")
    @pytest.mark.parametrize("body", [b"{", {"messages": "none"}])
    async def test_length__no_input(self, project, alice, body, settings):
        """What is no run input gets the answer it gets without the hook."""
        with_hook = await alice.run(body)
        settings.COPILOTKIT = {**settings.COPILOTKIT, "HOOKS": None}
        without = await alice.run(body)

        assert with_hook.status == 400
        assert (with_hook.status, with_hook.data) == (without.status, without.data)


@page("Measure and analyse")
async def test_measure(project, alice, working):
    """Of a run there are its ids, its time, its messages and its tools."""
    await alice.run(run_input())
    await until(lambda: len(track) == 2)

    (kind, request), (kind_of_tools, tools) = track
    assert (kind, kind_of_tools) == ("request", "tools")
    assert request.pop("seconds") >= 0
    assert request == {
        "path": "/api/copilotkit/agent/default/run",
        "status": 200,
        "thread": "t1",
        "run": "r1",
        "messages": 1,
        "ok": True,
    }
    assert tools == {"thread": "t1", "run": "r1", "tools": ["search"]}


@page("Measure and analyse")
async def test_measure__client_gone(project, alice, agent):
    """It is called at the end of the run, even when the client went away."""
    agent.cue.clear()
    response = await alice.open("POST", "/agent/default/run", run_input())
    await until(agent.waiting.is_set)
    response.close()
    assert track == []

    agent.cue.set()
    await until(lambda: bool(track))

    assert track[0][1]["run"] == "r1"


@page("Record usage and clean up")
async def test_usage(project, alice, working):
    """A run is booked with what it cost, and leaves nothing behind."""
    cache.set("scratch-t1", "something")

    await alice.ask("GET", "/info")
    await alice.run(run_input())
    await until(lambda: bool(book) and cache.get("scratch-t1") is None)

    [booked] = book
    assert booked.pop("seconds") >= 0
    assert booked == {"agent": "default", "scope": "user:alice", "tokens": 42}


class TestHandleErrors:
    @page("Handle errors")
    async def test_hook(self, project, alice, agent):
        """The agent finds what the hook looked up."""
        await alice.run(run_input())

        assert agent.contexts[0].request_context["profile"] == "profile of user:alice"

    @page("Handle errors")
    async def test_hook__known_failure(self, project, alice, caplog):
        """Where the error hook has a better answer it is that."""
        directory.error = DirectoryDown("secret")

        answer = await alice.run(run_input())

        assert (answer.status, answer.data) == (503, {"error": "try again soon"})
        assert "? failed" in caplog.messages

    @page("Handle errors")
    async def test_hook__other_failure(self, project, alice, bob, caplog):
        """Anything else is one 500 that tells nothing; the next request is served."""
        directory.error = RuntimeError("secret")
        answer = await alice.run(run_input())
        directory.error = None

        assert (answer.status, answer.data) == (500, {"error": "internal_error"})
        assert (await bob.run(run_input())).status == 200

    @page("Handle errors")
    async def test_after__status(self, project, alice):
        """A request that fails is captured."""
        await alice.run(run_input(), agent="nobody")
        await until(lambda: bool(capture))

        path = "/api/copilotkit/agent/nobody/run"
        assert capture == [("Request failed: 404", {"path": path})]

    @page("Handle errors")
    async def test_after__agent(self, project, alice, settings):
        """So is an agent that fails in the middle of a stream of status 200."""
        agents = {"default": Failing(2, RuntimeError("boom"))}
        settings.COPILOTKIT = {
            **settings.COPILOTKIT,
            "AGENTS": agents,
            "EXPOSE_ERROR_TEXT": True,
        }

        answer = await alice.run(run_input())
        await until(lambda: bool(capture))

        assert answer.status == 200
        [(message, where)] = capture
        assert "boom" in message
        assert where == {"thread": "t1", "run": "r1"}


class TestCache:
    @page("Cache answers")
    async def test_cache(self, project, alice, bob):
        """The second answer comes from the cache, to the same caller only."""
        first = await alice.ask("GET", "/info")
        await until(lambda: cache.get("assistant:user:alice:/api/copilotkit/info") is not None)

        second = await alice.ask("GET", "/info")

        assert "X-Cache" not in first.headers
        assert second.headers["X-Cache"] == "HIT"
        assert second.data == first.data
        assert "X-Cache" not in (await bob.ask("GET", "/info")).headers

    @page("Cache answers")
    async def test_cache__runs(self, project, alice):
        """Runs and errors are never cached."""
        await alice.run(run_input())
        assert (await alice.ask("GET", "/nowhere")).status == 404

        again = await alice.run(run_input(run="r2"))

        assert again.headers.get("X-Cache") is None
        assert kinds(again.events)[-1] == "RUN_FINISHED"


@page("Analyse a stream")
async def test_analyse(project, alice, working, caplog):
    """States, results and the number of events of each kind are in the log."""
    caplog.set_level(logging.INFO, "mysite.assistant")

    await alice.run(run_input())
    await until(lambda: len(caplog.messages) == 3)

    assert caplog.messages[:2] == ["State: {'step': 1}", "Tool result: found it"]
    assert caplog.messages[2].startswith("Run r1: 7 events, {'RUN_STARTED': 1, ")


class TestCompose:
    @page("Compose")
    async def test_before__refused(self, project, alice, agent):
        """The first function that answers ends it."""
        answer = await alice.run(run_input(), x_key="wrong")

        assert (answer.status, answer.data) == (401, {"error": "unauthorized"})
        assert agent.contexts == []

    @page("Compose")
    async def test_before__passed(self, project, alice, agent):
        """All functions have their effect, in order."""
        answer = await alice.run(run_input(), x_key="open sesame")

        assert answer.status == 200
        assert agent.contexts[0].headers["x-tenant"] == "user:alice"
        assert agent.contexts[0].request_context["started"] > 0

    @page("Compose")
    async def test_after(self, project, alice, caplog):
        """One that fails does not keep the others from being called."""
        seen = project["mysite.middleware"].seen

        await alice.ask("GET", "/info", x_key="open sesame")
        await until(lambda: bool(seen))

        assert seen == ["/api/copilotkit/info"]
        await until(lambda: "The others do not mind." in caplog.text)

    @page("Compose")
    async def test_hooks(self, project, alice):
        """Both response hooks had their turn."""
        answer = await alice.ask("GET", "/info", x_key="open sesame")

        assert answer.headers["X-Assistant"] == "2.0"
        assert answer.headers["X-Region"] == "eu"


@in_database
@page("Change headers")
@pytest.mark.parametrize(("is_staff", "role"), [(True, "staff"), (False, "user")])
async def test_headers(project, settings, agent, is_staff, role):
    """The agent learns who calls, whatever the client claims; the answer tells the version."""
    ada = await signed_in(settings, is_staff=is_staff)
    user = await User.objects.aget(username="ada")

    answer = await ada.run(run_input(), x_user_id="1000000", x_user_role="root")

    headers = agent.contexts[0].headers
    assert (headers["x-user-id"], headers["x-user-role"]) == (str(user.pk), role)
    assert answer.headers["X-Assistant-Version"] == "2.0"


@page("Send telemetry")
async def test_telemetry(project, alice):
    """Runs are handed to the queue, other answers are not."""
    await alice.ask("GET", "/info")
    await alice.run(run_input("hello"))
    await until(lambda: bool(record))

    [sent] = record
    assert sent["thread"] == "t1"
    assert sent["messages"][-1]["content"] == "hello"


@page("Send telemetry")
async def test_telemetry__failure(project, alice, caplog, monkeypatch):
    """A failure is logged, and changes nothing for the caller."""
    monkeypatch.setattr(project["mysite.middleware"], "record", None)

    answer = await alice.run(run_input())
    await until(lambda: "after middleware failed" in caplog.text)

    assert kinds(answer.events)[-1] == "RUN_FINISHED"


def test_telemetry__shutdown():
    """The time it has on shutdown is the one on the page."""
    assert AFTER_SECONDS == 5


@asynccontextmanager
async def gatekeeper(status: int):
    """A service that has one answer for everybody; yields its address and what it was sent."""
    heard = []

    async def connected(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        heard.append(await reader.readexactly(length))
        writer.write(
            b"HTTP/1.1 %d Whatever\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", heard


class TestAskGatekeeper:
    @page("Ask another service")
    @pytest.mark.parametrize(("verdict", "status"), [(200, 200), (401, 403), (500, 403)])
    async def test_gatekeeper(self, project, alice, verdict, status):
        """Only who the service knows gets in."""
        async with gatekeeper(verdict) as (url, heard):
            project["mysite.hooks"].GATEKEEPER = url

            answer = await alice.ask("GET", "/info", authorization="Bearer x")

        assert answer.status == status
        assert heard == [b"Bearer x"]

    @page("Ask another service")
    async def test_gatekeeper__down(self, project, alice, caplog):
        """Nobody gets in unchecked."""
        project["mysite.hooks"].GATEKEEPER = "http://127.0.0.1:1/"

        assert (await alice.ask("GET", "/info")).status == 500

    @page("Ask another service")
    @pytest.mark.parametrize(
        "name", ["HOOKS", "BEFORE_REQUEST_MIDDLEWARE", "AFTER_REQUEST_MIDDLEWARE"]
    )
    def test_url(self, project, settings, name):
        """A URL in place of code is an error of the checks."""
        url = "https://hooks.example.com/auth"
        settings.COPILOTKIT = {**settings.COPILOTKIT, "HOOKS": None, name: url}

        found = [message for message in run_checks(tags=["copilotkit"]) if message.is_serious()]

        assert [message.id for message in found] == ["copilotkit.E003"]
        assert name in found[0].msg


class TestAlone:
    @page("Test them alone")
    def test_tests(self, project):
        """The tests on the page pass, and test something."""
        module = project["mysite.test_middleware"]
        tests = {name: test for name, test in vars(module).items() if name.startswith("test_")}

        for test in tests.values():
            test()

        assert len(tests) == 3

    @page("Test them alone")
    async def test_endpoint(self, project, alice):
        """What is tested alone works at an endpoint."""
        assert (await alice.ask("GET", "/info")).status == 401
        assert (await alice.ask("GET", "/info", authorization="Bearer valid-token")).status == 200
