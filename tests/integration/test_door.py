"""The HTTP door: mounts, raw paths, limits, servers and clients that go away."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application as django_asgi_application
from django.test import Client
from django.urls import include
from django.urls import path as url

from copilotkit_django.admission import AT_A_TIME
from copilotkit_django.asgi import get_asgi_application
from copilotkit_django.runners import InMemoryRunner
from tests.acting import Parrot, Staged, opening
from tests.talk import events_in, kinds, run_input, text_of, within

from .site import BASE, Caller, Connection, Site, first_event, read

RUN = f"{BASE}/agent/default/run"
SUGGEST = f"{BASE}/agent/default/suggest"
INPUT = json.dumps(run_input()).encode()
ALICE = {"x-user": "alice"}


@pytest.fixture(params=["ours", "django"])
def application(request):
    """The ASGI application of a project: ours, or the one Django makes."""
    return get_asgi_application() if request.param == "ours" else django_asgi_application()


class TestMount:
    @pytest.mark.parametrize(
        ("mount", "slash"),
        [
            *((mount, slash) for mount in (BASE, f"{BASE}/") for slash in ("", "/", "//")),
            *(("/", slash) for slash in ("", "/")),
        ],
    )
    async def test_mount__slashes(self, serve, alice, mount, slash):
        """With or without a slash at its end, a mount point serves all its routes."""
        serve(mount)
        alice.base = mount.rstrip("/")

        run = await alice.run(run_input())
        info = await alice.ask("GET", f"{slash or '/'}info{slash}")
        envelope = await alice.ask("POST", slash or mount[len(alice.base) :], {"method": "info"})

        assert kinds(run.events)[-1] == "RUN_FINISHED"
        assert info.data["agents"].keys() == envelope.data["agents"].keys() == {"default"}

    async def test_mount__name_that_goes_on(self, serve, alice):
        """What only begins like the mount point is something else."""
        serve("/api/copilotkit")
        alice.base = "/api/copilotkitchen"

        assert (await alice.ask("GET", "/info")).status == 404
        assert (await alice.ask("POST", "", {"method": "info"})).status == 404

    async def test_mount__get_of_itself(self, serve, alice):
        """The mount point itself is no page, and takes envelopes by POST only."""
        serve()

        assert (await alice.ask("GET", "")).status == 404
        assert (await alice.ask("PUT", "")).headers["Allow"] == "POST"

    async def test_mount__project_settings(self, settings, alice):
        """The usual include serves what the settings say."""
        settings.COPILOTKIT = {
            "AGENTS": {"default": Parrot()},
            "AUTHENTICATION": "tests.integration.site.by_header",
            "RUNNER": InMemoryRunner(),
        }
        settings.ROOT_URLCONF = Site({}, url("ai", include("copilotkit_django.urls")))
        alice.base = "/ai"

        assert text_of((await alice.run(run_input("hello"))).events) == "hello"

    async def test_mount__several_endpoints(self, settings, alice, make_runtime):
        """Several runtimes in one project have their own agents, callers and threads."""
        one = make_runtime()
        other = make_runtime(agents={"other": Parrot()}, authentication="anonymous-shared")
        settings.ROOT_URLCONF = Site({"/one": one, "/other": other})
        at_one = Caller("/one", ALICE)
        at_other = Caller("/other")

        await at_one.run(run_input("first"))

        assert (await Caller("/one").run(run_input())).status == 401
        assert (await at_one.run(run_input(), agent="other")).status == 404
        assert (await at_other.connect(run_input(), agent="other")).events == []
        assert (await at_other.run(run_input("second"), agent="other")).status == 200
        assert text_of((await at_one.connect(run_input())).events) == "first"

    async def test_mount__shared_runner(self, settings, make_runtime):
        """Endpoints given one runner see the same threads."""
        runner = InMemoryRunner()
        runtimes = {at: make_runtime(runner=runner) for at in ("/one", "/other")}
        settings.ROOT_URLCONF = Site(runtimes)

        await Caller("/one", ALICE).run(run_input("first"))

        assert text_of((await Caller("/other", ALICE).connect(run_input())).events) == "first"


class TestIds:
    @pytest.mark.parametrize(
        "agent_id", ["my agent", "émilie", "a/b", "100%", "%41", "a%2Fb", "run", "日本", "a+b", "."]
    )
    @pytest.mark.parametrize("has_raw_path", [True, False])
    async def test_agent_id__any_character(self, serve, application, agent_id, has_raw_path):
        """Ids may hold any character, also on servers that tell only the decoded path."""
        serve(agents={agent_id: Parrot()})
        # Where only the decoded path is told, nobody can know of an encoded slash.
        has_raw_path = has_raw_path or "/" in agent_id
        raw = f"{BASE}/agent/{quote(agent_id, safe='')}/run".encode()
        connection = Connection(
            application,
            f"{BASE}/agent/{agent_id}/run",
            INPUT,
            raw_path=raw if has_raw_path else b"",
            headers=ALICE,
        )

        status = await connection.begin()
        body = await connection.finish()

        assert status == 200, body
        assert kinds(events_in(body))[-1] == "RUN_FINISHED"


class TestLimits:
    async def test_body__larger_than_django_allows(self, serve, alice, settings):
        """Django's own limit, made for forms, does not apply to conversations."""
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
        serve()

        answer = await alice.run(run_input("x" * 1000))

        assert text_of(answer.events) == "x" * 1000

    @pytest.mark.parametrize("path", ["/agent/default/run", ""])
    async def test_body__larger_than_the_endpoint_allows(self, serve, alice, path):
        """Our own limit does, for envelopes too."""
        serve(max_body_bytes=500)

        answer = await alice.ask("POST", path, b"x" * 501)

        assert answer.status == 413
        assert answer.data["error"] == "body_too_large"

    async def test_body__exactly_as_large(self, serve, alice):
        """A body of exactly the limit is read."""
        serve(max_body_bytes=len(INPUT))

        assert (await alice.run(INPUT)).status == 200
        assert (await alice.run(INPUT + b" ")).status == 413

    async def test_body__read_before(self, serve, alice, settings):
        """The limit holds where middleware of the project has read the body already."""
        settings.MIDDLEWARE = ["tests.integration.test_door.read_the_body", *settings.MIDDLEWARE]
        serve(max_body_bytes=500)

        assert (await alice.run(b"x" * 501)).status == 413

    @pytest.mark.parametrize("length", ["", "nonsense", "-1", "99999999999"])
    async def test_body__odd_content_length(self, serve, length):
        """A length that is none, or a lie, is no reason to fail otherwise than with an answer."""
        serve(max_body_bytes=500)
        headers = {**ALICE, "content-length": length}
        connection = Connection(django_asgi_application(), RUN, INPUT, headers=headers)

        status = await connection.begin()
        await connection.finish()

        assert status in (200, 413)


def read_the_body(get_response):
    """Middleware that wants to see what was posted."""

    def middleware(request):
        assert request.body is not None
        return get_response(request)

    return middleware


class TestServers:
    @pytest.mark.parametrize(
        ("method", "path"),
        [("get", "/info"), ("post", "/agent/default/run"), ("post", ""), ("get", "/nowhere")],
    )
    def test_wsgi__any_route(self, settings, make_runtime, method, path):
        """Under WSGI, where no loop outlives a request, the answer says what is missing."""
        settings.ROOT_URLCONF = Site({BASE: make_runtime()})

        response = getattr(Client(), method)(BASE + path)

        assert response.status_code == 503
        assert response.json()["error"] == "asgi_required"
        assert "ASGI" in response.json()["message"]

    async def test_stream__first_chunk_before_the_agent(self, serve, application):
        """Headers go out at once, however long the agent thinks."""

        class Thinking(Staged):
            async def run(self, context):
                self.waiting.set()
                await self.cue.wait()
                for event in opening(context):
                    yield event

        agent = Thinking()
        serve(agents={"default": agent})
        connection = Connection(application, RUN, INPUT, headers=ALICE)

        assert await connection.begin() == 200
        assert (await connection.receive_output(1))["body"] == b""
        agent.cue.set()
        assert kinds(events_in(await connection.finish()))[-1] == "RUN_ERROR"

    async def test_stream__behind_gzip(self, serve, alice, settings):
        """Compressing middleware leaves streams alone: each event can be read as it comes."""
        settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
        agent = Staged()
        serve(agents={"default": agent})

        response = await alice.open(
            "POST", "/agent/default/run", run_input("x" * 1000), accept_encoding="gzip"
        )
        await first_event(response)

        assert response.headers["Content-Encoding"] == "identity"

    async def test_json__behind_gzip(self, serve, alice, settings):
        """Other answers may be compressed."""
        settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
        serve(agents={f"agent-{number}": Parrot() for number in range(20)})

        response = await alice.open("GET", "/info", accept_encoding="gzip")

        assert response.headers["Content-Encoding"] == "gzip"

    async def test_stream__one_frame_per_event(self, serve, alice):
        """Line ends inside of events never reach the frame: only LF, twice, ends one."""
        text = "a\r\n\r\nb\n\nc\u2028d\u2029e\x85f\rg\0h"
        serve()

        answer = await alice.run(run_input(text))

        assert text_of(answer.events) == text
        assert b"\r" not in answer.body


class TestClientsThatLeave:
    async def test_leave__run(self, serve, application, alice):
        """A run goes on when its client goes away, and can be read afterwards."""
        agent = Staged()
        serve(agents={"default": agent})
        connection = Connection(application, RUN, INPUT, headers=ALICE)
        await connection.begin()
        assert b"TEXT_MESSAGE_CONTENT" in await connection.chunk()

        await connection.leave()
        agent.cue.set()

        events = (await alice.connect(run_input())).events
        assert kinds(events)[-1] == "RUN_FINISHED"
        assert not agent.cancelled.is_set()

    @pytest.mark.parametrize("after", [None, lambda after: None])
    async def test_leave__suggestion(self, serve, application, after):
        """A suggestion ends with its client: nobody will ever read it."""
        agent = Staged()
        serve(agents={"default": agent}, after_request_middleware=after)
        connection = Connection(application, SUGGEST, INPUT, headers=ALICE)
        await connection.begin()
        await within(agent.waiting.wait())

        await connection.leave()

        await within(agent.cancelled.wait())

    async def test_leave__connect(self, serve, application, alice):
        """Followers come and go without touching the run."""
        agent = Staged()
        serve(agents={"default": agent})
        run = await alice.open("POST", "/agent/default/run", run_input())
        await within(agent.waiting.wait())
        connection = Connection(application, f"{BASE}/agent/default/connect", INPUT, headers=ALICE)
        await connection.begin()
        await connection.chunk()

        await connection.leave()
        agent.cue.set()

        assert kinds((await read(run)).events)[-1] == "RUN_FINISHED"

    async def test_leave__before_the_body(self, serve, application):
        """A client that leaves in the middle of its body has asked for nothing."""
        agent = Staged()
        serve(agents={"default": agent})
        connection = Connection(application, RUN, b'{"threadId"', headers=ALICE, whole=False)
        await connection.send_input(connection._first)

        await connection.leave()

        assert agent.contexts == []


class TestApplication:
    async def test_application__other_paths(self, serve):
        """Everything that is not ours is Django's as ever."""
        serve()
        connection = Connection(get_asgi_application(), "/elsewhere", method="GET")

        assert await connection.begin() == 404
        await connection.finish()

    async def test_application__lifespan(self):
        """The application takes part in the start and the end of its server."""
        served = ApplicationCommunicator(get_asgi_application(), {"type": "lifespan"})
        answers = []
        for step in ("startup", "shutdown"):
            await served.send_input({"type": f"lifespan.{step}"})
            answers.append((await served.receive_output(5))["type"])
        await served.wait(5)

        assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    async def test_application__body_too_large(self, serve):
        """A body is refused as soon as it is known to be too large, not when it has arrived."""
        serve(max_body_bytes=500)
        connection = Connection(get_asgi_application(), RUN, b"x" * 501, headers=ALICE, whole=False)

        assert await connection.begin(b"x", b"x") == 413
        assert json.loads(await connection.rest())["error"] == "body_too_large"
        await connection.leave()

    async def test_application__declared_too_large(self, serve):
        """A length that is too large is refused before anything has arrived."""
        serve(max_body_bytes=500)
        headers = {**ALICE, "content-length": "501"}
        connection = Connection(get_asgi_application(), RUN, b"", headers=headers, whole=False)

        assert await connection.begin(b"x", b"x") == 413
        await connection.rest()
        await connection.leave()

    async def test_application__body_too_slow(self, serve):
        """A body that never comes does not hold its connection for good."""
        serve(body_timeout_seconds=0.01)
        connection = Connection(get_asgi_application(), RUN, b"{", headers=ALICE, whole=False)

        assert await connection.begin() == 408
        assert json.loads(await connection.rest())["error"] == "body_timeout"
        await connection.leave()

    async def test_application__many_slow_bodies(self, serve):
        """However many bodies are on their way, a request that is there is answered."""
        serve()
        application = get_asgi_application()
        slow = [
            Connection(application, RUN, b"{", headers=ALICE, whole=False)
            for _ in range(2 * AT_A_TIME)
        ]
        for connection in slow:
            await connection.send_input({"type": "http.request", "body": b"{", "more_body": True})
        quick = Connection(application, f"{BASE}/info", method="GET", headers=ALICE)

        assert await quick.begin() == 200
        await quick.finish()
        for connection in slow:
            await connection.leave()


async def test_run__starts_at_once(serve, alice):
    """A run begins with its request, not with the first reading of its answer."""
    agent = Staged()
    serve(agents={"default": agent})

    await alice.open("POST", "/agent/default/run", run_input())

    await within(agent.waiting.wait())


async def test_runs__many_at_once(serve, alice):
    """Runs on many threads go on side by side, each with its own events."""
    serve(concurrent_runs_per_owner=None)
    wires = [run_input(f"text {n}", thread=f"t{n}", run=f"r{n}") for n in range(50)]

    answers = await within(asyncio.gather(*(alice.run(wire) for wire in wires)), 20)

    assert [text_of(answer.events) for answer in answers] == [f"text {n}" for n in range(50)]
    assert {event["runId"] for event in answers[7].events if "runId" in event} == {"r7"}
