"""The order of a request, row by row of the table in docs/reference/request-order.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse

from copilotkit_django.hooks import ShortCircuit, with_headers
from copilotkit_django.runners import InMemoryRunner
from tests.acting import Parrot
from tests.talk import run_input, until

from .site import Answer, Caller

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "request-order.md"
ORIGIN = "https://app.example.com"
NAMES = ("on_request", "on_before_handler", "on_response", "on_error")

MIDDLEWARE = [
    "copilotkit_django.origins.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
]


@dataclass(frozen=True)
class Row:
    step: str
    who: str
    answers: str
    replaces: str
    exception: str
    on_response: str
    after: str


def rows() -> list[Row]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    return [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines[2:]]


ROWS = {row.step: row for row in rows()}

#: What the project can put in, by step: the names of `Project.functions`.
OURS = {
    "Identity": "authentication",
    "Request hook": "on_request",
    "Before middleware": "before",
    "Handler hook": "on_before_handler",
    "Response hook": "on_response",
}


def teapot(*arguments: Any) -> HttpResponse:
    return HttpResponse("teapot", status=418)


def raised_teapot(*arguments: Any) -> HttpResponse:
    raise ShortCircuit(teapot())


def boom(*arguments: Any) -> None:
    raise RuntimeError("boom")


def asynchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*arguments: Any) -> Any:
        return function(*arguments)

    return call


@dataclass
class Project:
    """A project with something in every place, which writes down what is called."""

    calls: list[str] = field(default_factory=list)
    #: What each place does besides.
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    is_async: bool = False
    #: Tenant headers as the places, and the agent, find them.
    tenants: dict[str, str | None] = field(default_factory=dict)

    def place(self, name: str, default: Any = None) -> Callable[..., Any]:
        def function(*arguments: Any) -> Any:
            self.calls.append(name)
            request = getattr(arguments[0], "request", arguments[0])
            self.tenants[name] = request.headers.get("x-tenant")
            special = self.functions.get(name)
            return default if special is None else special(*arguments)

        return asynchronous(function) if self.is_async else function

    @property
    def hooks(self) -> dict[str, Callable[..., Any]]:
        return {name: self.place(name) for name in NAMES}

    @property
    def options(self) -> dict[str, Any]:
        return {
            "agents": {"default": Recording(self)},
            "authentication": self.place("authentication", (None, "user:1")),
            "hooks": self.hooks,
            "before_request_middleware": self.place("before"),
            "after_request_middleware": self.place("after"),
            "allowed_origins": [ORIGIN],
            "max_body_bytes": 10_000,
            "rate_limits": {"stop": "0/m"},
        }

    async def called_after(self) -> bool:
        """Whether the after middleware is called, given the time it takes."""
        from copilotkit_django.after import drain

        await drain(5)
        return "after" in self.calls


class Recording(Parrot):
    def __init__(self, project: Project) -> None:
        self.project = project

    def clone(self) -> Recording:
        return self

    async def run(self, context):
        self.project.calls.append("agent")
        self.project.tenants["agent"] = context.headers.get("x-tenant")
        async for event in super().run(context):
            yield event


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def project(request: pytest.FixtureRequest) -> Project:
    return Project(is_async=request.param)


@pytest.fixture
def start(serve, settings, project):
    """Serve the project as it is now."""
    settings.MIDDLEWARE = MIDDLEWARE

    def start(**options: Any) -> None:
        serve(**{**project.options, **options})

    return start


@pytest.fixture
def page() -> Caller:
    """A page of another origin that may call."""
    return Caller(headers={"origin": ORIGIN, "x-tenant": "mine"})


def test_table__complete():
    """The table has the steps that are tested here, in this order."""
    assert list(ROWS) == [
        "Preflight",
        "Size of the body",
        "Origin",
        "Identity",
        "Request hook",
        "Before middleware",
        "Route and method",
        "Handler hook",
        "Limits",
        "Handler: agent, body, operation",
        "Response hook",
        "CORS headers",
        "After middleware",
    ]


async def test_order__nothing_special(project, start, page):
    """A run that nobody interferes with passes all places in the order of the table."""
    start()

    await page.run(run_input())
    assert await project.called_after()

    calls = project.calls.copy()
    # The agent works in a task of its own.
    assert calls.index("on_before_handler") < calls.index("agent") < calls.index("after")
    calls.remove("agent")
    assert calls == [*OURS.values(), "after"]


#: Steps of the endpoint's own: how to make each answer, and what is called until then.
OWN_ANSWERS: list[tuple[str, int, dict[str, Any], list[str]]] = [
    ("Preflight", 200, {"method": "OPTIONS", "access_control_request_method": "POST"}, []),
    ("Size of the body", 413, {"body": b"x" * 10_001}, []),
    ("Origin", 403, {"origin": "https://evil.example", "cookie": "sessionid=x"}, []),
    ("Route and method", 404, {"method": "GET", "path": "/nowhere"}, ["on_request", "before"]),
    ("Route and method", 405, {"method": "GET"}, ["on_request", "before"]),
    ("Route and method", 400, {"path": "", "body": b"{}"}, ["on_request", "before"]),
    (
        "Route and method",
        415,
        {"path": "", "body": b"{}", "content_type": "text/plain"},
        ["on_request", "before"],
    ),
    (
        "Limits",
        429,
        {"path": "/agent/default/stop/t1", "body": b""},
        ["on_request", "before", "on_before_handler"],
    ),
    (
        "Handler: agent, body, operation",
        404,
        {"path": "/agent/nobody/run"},
        ["on_request", "before", "on_before_handler"],
    ),
    (
        "Handler: agent, body, operation",
        400,
        {"body": b"{}"},
        ["on_request", "before", "on_before_handler"],
    ),
    (
        "Handler: agent, body, operation",
        200,
        {"method": "GET", "path": "/info"},
        ["on_request", "before", "on_before_handler"],
    ),
]


async def ask(caller: Caller, **how: Any) -> Answer:
    how = {"method": "POST", "path": "/agent/default/run", "body": run_input(), **how}
    return await caller.ask(how.pop("method"), how.pop("path"), how.pop("body"), **how)


@pytest.mark.parametrize(("step", "status", "how", "before"), OWN_ANSWERS)
async def test_endpoint__answers(project, start, page, step, status, how, before):
    """What the endpoint answers itself is answered in its turn, and no later place is asked."""
    row = ROWS[step]
    start()

    answer = await ask(page, **how)
    is_after = await project.called_after()

    assert answer.status == status
    assert str(status) in row.answers
    calls = [name for name in project.calls if name not in ("authentication", "after")]
    assert calls == before + (["on_response"] if row.on_response == "yes" else [])
    assert is_after is (row.after == "yes")
    assert ("authentication" in project.calls) is bool(before)
    assert row.exception in ("-", "`on_error`, 500")


@pytest.mark.parametrize("function", [teapot, raised_teapot])
@pytest.mark.parametrize("step", OURS)
async def test_project__answers(project, start, page, step, function):
    """A place of the project that answers, by returning or raising, ends what comes before."""
    row = ROWS[step]
    project.functions[OURS[step]] = function
    start()

    answer = await page.run(run_input())
    is_after = await project.called_after()

    assert "any response" in row.answers
    assert (answer.status, answer.body) == (418, b"teapot")
    assert project.calls.count("on_response") == {"no": 0, "yes": 1, "once": 1}[row.on_response]
    assert is_after is (row.after == "yes")
    assert "on_error" not in project.calls
    if step != "Response hook":
        assert "agent" not in project.calls
        later = list(OURS.values())[list(OURS).index(step) + 1 :]
        assert not (set(later) - {"on_response"}) & set(project.calls)


async def test_identity__nobody(project, start, page):
    """Nobody is 401, before any hook."""
    project.functions["authentication"] = lambda request: None
    start()

    answer = await page.run(run_input())

    assert answer.status == 401
    assert "401" in ROWS["Identity"].answers
    assert project.calls == ["authentication"]


@pytest.mark.parametrize("step", OURS)
async def test_project__replaces_the_request(project, start, page, step):
    """A request that a place returns is what all later ones see, where the table says so."""
    name = OURS[step]
    project.functions[name] = lambda request, *_: with_headers(request, {"X-Tenant": "other"})
    start()

    await page.run(run_input())
    await project.called_after()

    if ROWS[step].replaces == "yes":
        order = [*OURS.values()]
        later = {*order[order.index(name) + 1 :], "agent", "after"}
    else:
        later = set()
    assert {who for who, tenant in project.tenants.items() if tenant == "other"} == later


ERRORS = [(RuntimeError, 500), (PermissionDenied, 403), (Http404, 404)]


@pytest.mark.parametrize(("error", "status"), ERRORS)
@pytest.mark.parametrize("step", OURS)
async def test_project__raises(project, start, page, caplog, step, error, status):
    """What a place raises goes to on_error; neither on_response nor after is called then."""
    name = OURS[step]

    def fail(*arguments):
        raise error("boom")

    project.functions[name] = fail
    start()

    answer = await page.run(run_input())

    assert ROWS[step].exception == "`on_error`, 500"
    assert answer.status == status
    assert b"boom" not in answer.body
    assert ("boom" in caplog.text) is (status == 500)
    assert project.calls[-2:] == [name, "on_error"]
    assert not await project.called_after()


class BrokenThreads(InMemoryRunner):
    def __init__(self) -> None:
        super().__init__()
        self.threads.list = boom


async def test_handler__raises(project, start, page):
    """So does what a handler did not expect."""
    start(runner=BrokenThreads())

    answer = await page.ask("GET", "/threads")

    assert ROWS["Handler: agent, body, operation"].exception == "`on_error`, 500"
    assert (answer.status, answer.data) == (500, {"error": "internal_error"})
    assert project.calls[-2:] == ["on_before_handler", "on_error"]
    assert not await project.called_after()


@pytest.mark.parametrize("function", [teapot, raised_teapot])
@pytest.mark.parametrize("step", OURS)
async def test_on_error__answers(project, start, page, step, function):
    """on_error may answer, whatever failed; its answer is final."""
    project.functions = {OURS[step]: boom, "on_error": function}
    start()

    answer = await page.run(run_input())

    assert (answer.status, answer.body) == (418, b"teapot")
    assert project.calls[-1] == "on_error"
    assert not await project.called_after()


async def test_on_error__raises(project, start, page, caplog):
    """If it fails, that is logged and the 500 stands."""
    project.functions = {"on_request": boom, "on_error": boom}
    start()

    assert (await page.run(run_input())).status == 500
    assert "The on_error hook failed." in caplog.text


async def test_after__raises(project, start, page, caplog):
    """What the after middleware raises is logged; the answer was given."""
    project.functions["after"] = boom
    start()

    answer = await page.run(run_input())
    await until(lambda: "after middleware failed" in caplog.text)

    assert ROWS["After middleware"].exception == "logged"
    assert answer.status == 200
    assert "on_error" not in project.calls


async def test_after__replaced_response(project, start, page):
    """The after middleware is given what on_response made of the answer."""
    given = []
    project.functions = {"on_response": teapot, "after": given.append}
    start()

    await page.ask("GET", "/info")
    await project.called_after()

    assert given[0].body == b"teapot"


@pytest.mark.parametrize(
    ("how", "method"),
    [
        ({"method": "GET", "path": "/nowhere"}, "info"),
        ({"method": "GET", "path": "/agent/default/run"}, "agent/run"),
        ({}, "agent/run"),
    ],
)
async def test_on_response__route(project, start, page, how, method):
    """What leads nowhere has a stand-in route."""
    routes = []
    project.functions["on_response"] = lambda request, response, route: routes.append(route.method)
    start()

    await ask(page, **how)
    await project.called_after()

    assert routes == [method]


async def test_on_response__answered_before_routing(project, start, page):
    """So has what was answered before there was a route."""
    routes = []
    project.functions = {
        "on_request": teapot,
        "on_response": lambda request, response, route: routes.append(route.method),
    }
    start()

    await page.run(run_input())

    assert routes == ["info"]


@pytest.mark.parametrize(
    "functions",
    [
        {},
        *({name: teapot} for name in OURS.values()),
        *({name: boom} for name in OURS.values()),
        {"authentication": lambda request: None},
    ],
)
async def test_cors__on_every_answer(project, start, page, functions):
    """Every answer can be read by pages that may call, errors included."""
    project.functions = functions
    start()

    answer = await page.run(run_input())
    await project.called_after()

    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize("how", [how for step, _, how, _ in OWN_ANSWERS if step != "Origin"])
async def test_cors__on_own_answers(project, start, page, how):
    """So can what the endpoint answers itself."""
    start()

    answer = await ask(page, **how)
    await project.called_after()

    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_cors__after_on_response(project, start, page):
    """on_response does not see these headers yet."""
    seen = []
    project.functions["on_response"] = lambda request, response, route: seen.append(
        response.has_header("Access-Control-Allow-Origin")
    )
    start()

    await page.ask("GET", "/info")
    await project.called_after()

    assert seen == [False]


def as_object(hooks: dict[str, Any]) -> Any:
    return as_class(hooks)()


def as_class(hooks: dict[str, Any]) -> Any:
    return type("SomeHooks", (), {name: staticmethod(hook) for name, hook in hooks.items()})


def as_mapping(hooks: dict[str, Any]) -> Any:
    return hooks


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("form", [as_object, as_class, as_mapping])
async def test_hooks__forms(project, start, page, monkeypatch, form, dotted):
    """Hooks are an object, a class, a mapping, or the dotted path of any of these."""
    hooks = form(project.hooks)
    if dotted:
        module = ModuleType("hooks_of_this_test")
        module.hooks = hooks
        monkeypatch.setitem(sys.modules, module.__name__, module)
        hooks = "hooks_of_this_test.hooks"
    project.functions["on_response"] = boom
    start(hooks=hooks)

    answer = await page.ask("GET", "/info")

    assert answer.status == 500
    assert [name for name in project.calls if name in NAMES] == list(NAMES)


async def test_agent__fails(project, start, page):
    """A run that fails is a stream with an error, no exception; after is called."""

    class Broken(Parrot):
        async def run(self, context):
            yield context.started()
            raise RuntimeError("boom")

    start(agents={"default": Broken()})

    answer = await page.run(run_input())

    assert answer.status == 200
    assert json.loads(answer.body.split(b"\n\n")[-2].removeprefix(b"data: "))["type"] == "RUN_ERROR"
    assert "on_error" not in project.calls
    assert await project.called_after()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("scope", "status"), [(raised_teapot, 418), (boom, 500), (lambda *_: "team:1", 200)]
)
async def test_thread_scope(project, start, page, scope, status):
    """THREAD_SCOPE has its turn with identity: it may raise an answer, and fails like it."""
    from django.contrib.auth.models import User

    user = await User.objects.acreate_user("ada")
    project.functions["authentication"] = lambda request: user
    start(thread_scope=asynchronous(scope) if project.is_async else scope)

    answer = await page.run(run_input())
    await project.called_after()

    assert answer.status == status
    assert ("on_request" in project.calls) is (status == 200)
    assert ("on_error" in project.calls) is (status == 500)
