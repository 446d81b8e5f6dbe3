"""Hooks and middleware made of several, and what they are given to work with."""

from __future__ import annotations

import pytest
from django.http import HttpResponse, JsonResponse
from django.test import RequestFactory

from copilotkit_django.hooks import (
    Hooks,
    ShortCircuit,
    compose,
    copilotkit,
    only_for,
    run_input,
    with_headers,
)
from copilotkit_django.routes import Route
from copilotkit_django.testing import answered, entered
from tests.acting import Staged
from tests.talk import run_input as wire_for
from tests.talk import until

REQUEST = RequestFactory().post("/api/copilotkit/agent/billing/run")


def request_for(method="agent/run", agent_id="billing", **known):
    return entered(RequestFactory().post("/"), route=Route(method, agent_id=agent_id), **known)


class Calls(list):
    """Makes functions that write down that they were called."""

    def named(self, name, result=None, *, error=None):
        def function(*arguments):
            self.append(name)
            if error is not None:
                raise error
            return result

        return function

    def async_named(self, name, result=None):
        async def function(*arguments):
            self.append(name)
            return result

        return function


@pytest.fixture
def calls():
    return Calls()


class TestCompose:
    async def test_compose__in_order(self, calls):
        """All are called, in order, sync and async ones."""
        both = compose(calls.named("one"), calls.async_named("two"), calls.named("three"))

        assert await both(REQUEST) is None
        assert calls == ["one", "two", "three"]

    async def test_compose__request_goes_on(self):
        """A request that one returns is what the next ones get, and the result."""

        def tenant(request):
            return with_headers(request, {"X-Tenant": "acme"})

        def region(request):
            return with_headers(request, {"X-Region": f"{request.headers['x-tenant']}-eu"})

        result = await compose(tenant, lambda request: None, region)(REQUEST)

        assert result.headers["x-tenant"] == "acme"
        assert result.headers["x-region"] == "acme-eu"

    @pytest.mark.parametrize("more", [(), (Route("agent/run"),), (ValueError("x"), None)])
    async def test_compose__response_ends_it(self, calls, more):
        """A response answers: those after it are not called."""
        teapot = HttpResponse(status=418)
        both = compose(calls.named("one", teapot), calls.named("two"))

        assert await both(REQUEST, *more) is teapot
        assert calls == ["one"]

    @pytest.mark.parametrize("error", [ShortCircuit(HttpResponse()), ValueError("boom")])
    async def test_compose__exception_ends_it(self, calls, error):
        """So does what is raised."""
        both = compose(calls.named("one", error=error), calls.named("two"))

        with pytest.raises(type(error)):
            await both(REQUEST)
        assert calls == ["one"]

    async def test_compose__on_response(self):
        """Of response hooks each gets the response the one before it made."""

        def add(request, response, route):
            return HttpResponse(response.content + b"!")

        result = await compose(add, lambda *_: None, add)(
            REQUEST, HttpResponse(b"hi"), Route("info")
        )

        assert result.content == b"hi!!"

    async def test_compose__after(self, calls):
        """Of after middleware all are called, whatever they return."""
        both = compose(calls.named("one", HttpResponse()), calls.async_named("two"))

        assert await both(answered(request_for())) is None
        assert calls == ["one", "two"]

    async def test_compose__after_fails(self, calls):
        """One that fails does not keep the others from their work; what it was is not lost."""
        both = compose(calls.named("one", error=ValueError("boom")), calls.named("two"))

        with pytest.raises(ExceptionGroup) as caught:
            await both(answered(request_for()))
        assert calls == ["one", "two"]
        assert [str(error) for error in caught.value.exceptions] == ["boom"]

    async def test_compose__in_a_class(self, serve, alice, calls):
        """A class of hooks may hold one."""

        class Both(Hooks):
            on_request = compose(calls.named("one"), calls.named("two"))

        serve(hooks=Both)
        await alice.ask("GET", "/info")

        assert calls == ["one", "two"]

    async def test_compose__everywhere(self, serve, alice, calls):
        """Every hook and middleware of an endpoint may be one."""

        def pair(name):
            return compose(calls.named(f"{name} 1"), calls.async_named(f"{name} 2"))

        serve(
            hooks={name: pair(name) for name in ("on_request", "on_before_handler", "on_response")},
            before_request_middleware=pair("before"),
            after_request_middleware=pair("after"),
        )

        await alice.ask("GET", "/info")
        await until(lambda: "after 2" in calls)

        assert calls == [
            f"{name} {number}"
            for name in ("on_request", "before", "on_before_handler", "on_response", "after")
            for number in (1, 2)
        ]


class TestOnlyFor:
    @pytest.mark.parametrize(
        ("methods", "agent_id", "expected"),
        [
            ((), None, True),
            (("agent/run",), None, True),
            (("agent/connect", "agent/run"), "billing", True),
            (("agent/connect",), None, False),
            ((), "support", False),
            (("agent/run",), "support", False),
        ],
    )
    async def test_only_for(self, calls, methods, agent_id, expected):
        """What is not about a route is as if it were not there."""
        scoped = only_for(*methods, agent_id=agent_id)(calls.named("called", "result"))
        request = request_for()

        assert await scoped(request, copilotkit(request).route) == ("result" if expected else None)
        assert await scoped(answered(request)) == ("result" if expected else None)

    async def test_only_for__method(self, serve, alice, bob):
        """It decorates methods of hooks, sync and async, and lets other agents be."""
        agent = Staged()
        agent.cue.set()

        class Billing(Hooks):
            @only_for(agent_id="billing")
            async def on_before_handler(self, request, route):
                if request.headers["x-user"] != "alice":
                    return JsonResponse({"error": "forbidden"}, status=403)
                return None

        serve(hooks=Billing, agents={"billing": agent, "default": agent})

        assert (await alice.run(wire_for(), agent="billing")).status == 200
        assert (await bob.run(wire_for(), agent="billing")).status == 403
        assert (await bob.connect(wire_for(), agent="billing")).status == 403
        assert (await bob.run(wire_for())).status == 200

    async def test_only_for__nowhere(self, serve, alice, calls):
        """What leads nowhere is about no route."""
        serve(hooks={"on_response": only_for("info")(calls.named("called"))})

        await alice.ask("GET", "/nowhere")
        assert calls == []

        await alice.ask("GET", "/info")
        assert calls == ["called"]

    async def test_only_for__before_routing(self, calls):
        """Before routing it fails with a hint, and never lets anybody pass by mistake."""
        scoped = only_for("agent/run")(calls.named("called"))

        with pytest.raises(TypeError, match="on_before_handler"):
            await scoped(entered(RequestFactory().post("/")))


class TestRunInput:
    @pytest.mark.parametrize("single", [False, True])
    async def test_run_input(self, serve, alice, single):
        """A hook reads the run input, whichever way it was sent, before the agent does."""
        seen = []
        serve(hooks={"on_before_handler": lambda request, route: seen.append(run_input(request))})
        wire = wire_for("hello", thread="t9")

        if single:
            envelope = {"method": "agent/run", "params": {"agentId": "default"}, "body": wire}
            answer = await alice.ask("POST", "", envelope)
        else:
            answer = await alice.run(wire)

        assert answer.status == 200
        assert seen[0].thread_id == "t9"
        assert seen[0].messages == wire["messages"]

    @pytest.mark.parametrize("single", [False, True])
    async def test_run_input__invalid(self, serve, alice, single):
        """What is none gets the answer it gets without a hook."""
        serve(hooks={"on_before_handler": lambda request, route: run_input(request) and None})
        wire = wire_for(messages="none")

        if single:
            envelope = {"method": "agent/run", "params": {"agentId": "default"}, "body": wire}
            answer = await alice.ask("POST", "", envelope)
        else:
            answer = await alice.run(wire)

        assert (answer.status, answer.data["error"]) == (400, "Invalid request body")

    async def test_run_input__other_route(self, serve, alice):
        """Other routes bring none."""
        seen = []
        serve(hooks={"on_before_handler": lambda request, route: seen.append(run_input(request))})

        await alice.ask("GET", "/info")

        assert seen == [None]

    def test_run_input__not_routed(self):
        """Before routing nobody knows."""
        assert run_input(entered(RequestFactory().post("/"))) is None


class TestReplacedRequest:
    async def test_on_before_handler__seen_by_later_hooks(self, serve, alice):
        """A request that replaces another before the handler is what comes after sees, too."""
        seen = []
        afters = []

        class Changing(Hooks):
            def on_before_handler(self, request, route):
                return with_headers(request, {"X-Tenant": "acme"})

            def on_response(self, request, response, route):
                seen.append(request.headers.get("x-tenant"))

        serve(hooks=Changing, after_request_middleware=afters.append)
        await alice.ask("GET", "/info")
        await until(lambda: bool(afters))

        assert seen == ["acme"]
        assert afters[0].request.headers["x-tenant"] == "acme"


class TestTesting:
    def test_entered(self):
        """A request that has entered tells what a real one does."""
        request = request_for(user="ada", scope="team:7", context={"role": "admin"})

        known = copilotkit(request)
        assert (known.user, known.scope, known.context) == ("ada", "team:7", {"role": "admin"})
        assert known.route == Route("agent/run", agent_id="billing")
        assert known.path == "/"

    def test_answered__stream(self):
        """An answer of events tells what a real stream does."""
        events = [
            {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"},
            {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "assistant"},
            {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "hi"},
            {"type": "TEXT_MESSAGE_END", "messageId": "m1"},
            {
                "type": "RUN_FINISHED",
                "threadId": "t1",
                "runId": "r1",
                "usage": [{"totalTokens": 12}],
            },
        ]

        after = answered(request_for(scope="team:7"), events=events, duration=0.5)

        assert after.messages == [{"id": "m1", "role": "assistant", "content": "hi"}]
        assert (after.thread_id, after.run_id) == ("t1", "r1")
        assert after.usage == [{"totalTokens": 12}]
        assert (after.scope, after.user, after.duration) == ("team:7", None, 0.5)
        assert after.events == events

    def test_answered__response(self):
        """Any other answer has its bytes."""
        after = answered(request_for(), JsonResponse({"a": 1}))

        assert (after.body, after.events) == (b'{"a": 1}', [])
