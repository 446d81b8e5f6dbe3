"""Code of the project around requests: hooks, middleware and what they share with agents."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, JsonResponse

from copilotkit_django.hooks import Hooks, ShortCircuit, copilotkit, with_headers
from tests.acting import Parrot, Staged
from tests.talk import kinds, run_input, until


class Recording(Hooks):
    """Writes down which hook was called, and with which route."""

    def __init__(self):
        self.calls = []

    def on_request(self, request):
        self.calls.append("on_request")

    async def on_before_handler(self, request, route):
        self.calls.append(f"on_before_handler {route.method}")

    def on_response(self, request, response, route):
        self.calls.append(f"on_response {route.method} {response.status_code}")

    async def on_error(self, request, error, route):
        self.calls.append(f"on_error {error}")


def teapot(*arguments):
    return JsonResponse({"error": "teapot"}, status=418)


async def async_teapot(*arguments):
    return teapot()


def raised_teapot(*arguments):
    raise ShortCircuit(teapot())


def boom(*arguments):
    raise RuntimeError("boom")


async def test_hooks__order(serve, alice):
    """Before the route, before the handler, after the answer; the middleware between."""
    hooks = Recording()

    def before(request):
        hooks.calls.append("before")

    serve(hooks=hooks, before_request_middleware=before)

    await alice.run(run_input())

    assert hooks.calls == [
        "on_request",
        "before",
        "on_before_handler agent/run",
        "on_response agent/run 200",
    ]


async def test_hooks__mapping(serve, alice):
    """Hooks may be a mapping with some of the names."""
    calls = []
    serve(hooks={"on_request": lambda request: calls.append(request.path)})

    await alice.ask("GET", "/info")

    assert calls == ["/api/copilotkit/info"]


async def test_hooks__nobody(serve, nobody):
    """Hooks see only callers that are known."""
    hooks = Recording()
    serve(hooks=hooks)

    await nobody.ask("GET", "/info")

    assert hooks.calls == []


@pytest.mark.parametrize("answer", [teapot, async_teapot, raised_teapot])
@pytest.mark.parametrize("hook", ["on_request", "on_before_handler", "on_response"])
async def test_hooks__answer_at_once(serve, alice, hook, answer):
    """Returning or raising a response answers the request, in every hook."""
    agent = Staged()
    agent.cue.set()
    serve(hooks={hook: answer}, agents={"default": agent})

    got = await alice.run(run_input())

    assert got.status == 418
    assert (agent.contexts == []) is (hook != "on_response")


@pytest.mark.parametrize("answer", [teapot, async_teapot, raised_teapot])
async def test_before_middleware__answers(serve, alice, answer):
    """The before middleware may answer as well; nothing is routed then."""
    hooks = Recording()
    serve(hooks=hooks, before_request_middleware=answer)

    assert (await alice.run(run_input())).status == 418
    assert "on_before_handler agent/run" not in hooks.calls


@pytest.mark.parametrize("hook", ["on_request", "on_before_handler", "on_response"])
async def test_hooks__that_fail(serve, alice, hook, caplog):
    """A hook that fails is a plain 500; what it was stands in the log only."""
    serve(hooks={hook: boom})

    answer = await alice.ask("GET", "/info")

    assert (answer.status, answer.data) == (500, {"error": "internal_error"})
    assert "boom" in caplog.text


async def test_hooks__that_fail_on_a_forged_path(serve, alice, caplog):
    """A path with a line break in it makes no line of the log."""
    serve(hooks={"on_request": boom})

    await alice.ask("GET", "/info%0AERROR all is lost")

    assert not any("\n" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("answer", [teapot, async_teapot, raised_teapot])
async def test_on_error__answers(serve, alice, answer):
    """The error hook may put another answer in place of the plain 500."""
    serve(hooks={"on_request": boom, "on_error": answer})

    assert (await alice.ask("GET", "/info")).status == 418


async def test_on_error__fails(serve, alice):
    """An error hook that fails changes nothing."""
    serve(hooks={"on_request": boom, "on_error": boom})

    assert (await alice.ask("GET", "/info")).data == {"error": "internal_error"}


async def test_on_response__unrouted(serve, alice):
    """What was answered before routing comes with a stand-in route."""
    hooks = Recording()
    serve(hooks=hooks)

    await alice.ask("GET", "/nowhere")

    assert hooks.calls[-1] == "on_response info 404"


async def test_context__from_hook_to_agent(serve, alice):
    """What a hook writes down the agent finds, and what the agent writes down the middleware."""
    after_calls = []

    class Telling(Parrot):
        async def run(self, context):
            context.request_context["said"] = context.request_context["heard"] + "!"
            async for event in super().run(context):
                yield event

    def on_request(request):
        copilotkit(request).context["heard"] = request.headers["x-user"]

    serve(
        agents={"default": Telling()},
        hooks={"on_request": on_request},
        after_request_middleware=after_calls.append,
    )

    await alice.run(run_input())
    await until(lambda: bool(after_calls))

    assert after_calls[0].context == {"heard": "alice", "said": "alice!"}


@pytest.mark.parametrize("hook", ["on_request", "on_before_handler"])
async def test_with_headers__seen_by_the_agent(serve, alice, hook):
    """A hook may change headers; forwarding and agent factories see the changed ones."""
    agent = Staged()
    agent.cue.set()

    def change(request, *more):
        return with_headers(request, {"X-Tenant": "acme", "Authorization": "Bearer y"})

    async def factory(request):
        return {"default": agent} if request.headers.get("x-tenant") == "acme" else {}

    serve(agents=factory, hooks={hook: change})

    await alice.run(run_input(), authorization="Bearer x")

    headers = agent.contexts[0].headers
    assert headers == {"x-user": "alice", "x-tenant": "acme", "authorization": "Bearer y"}


async def test_after_middleware__stream(serve, alice):
    """After a stream the middleware is given its events, messages, ids and bytes."""
    after_calls = []
    serve(after_request_middleware=after_calls.append)

    answer = await alice.run(run_input("hello"))
    await until(lambda: bool(after_calls))

    (after,) = after_calls
    assert after.body == answer.body
    assert kinds(after.events) == kinds(answer.events)
    assert [message["content"] for message in after.messages][-1] == "hello"
    assert (after.thread_id, after.run_id) == ("t1", "r1")
    assert after.route.method == "agent/run"
    assert after.duration >= 0


async def test_after_middleware__plain_answer(serve, alice):
    """After a plain answer it is given the answer, errors included."""
    after_calls = []
    serve(after_request_middleware=after_calls.append)

    answer = await alice.run(run_input(), agent="nope")
    await until(lambda: bool(after_calls))

    (after,) = after_calls
    assert (after.response.status_code, after.body) == (404, answer.body)


async def test_after_middleware__fails(serve, alice, caplog):
    """A middleware that fails after the answer changes nothing any more."""
    serve(after_request_middleware=boom)

    answer = await alice.run(run_input())
    await until(lambda: "after middleware failed" in caplog.text)

    assert kinds(answer.events)[-1] == "RUN_FINISHED"


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (PermissionDenied("no"), 403, {"error": "forbidden", "message": "You may not do this."}),
        (Http404("gone"), 404, {"error": "Not found"}),
    ],
)
async def test_hooks__django_exception(serve, alice, error, status, body):
    """Django's own exceptions mean the answer they always mean."""

    def refuse(request):
        raise error

    serve(hooks={"on_request": refuse})

    answer = await alice.ask("GET", "/info")

    assert (answer.status, answer.data) == (status, body)
