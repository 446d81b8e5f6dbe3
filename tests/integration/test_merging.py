"""An anonymous browser on which somebody signs in, and out again."""

from __future__ import annotations

import asyncio

import pytest
from django.contrib.auth import alogin, authenticate, login
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, LogoutView
from django.db import connections
from django.http import HttpResponse
from django.urls import path

from copilotkit_django.exceptions import StoreDown
from copilotkit_django.identity import ANONYMOUS_COOKIE, anonymous_visitor
from copilotkit_django.models import Thread
from copilotkit_django.runners import InMemoryRunner, ThreadRef
from copilotkit_django.runners.database import DatabaseRunner
from copilotkit_django.signals import scope_merged
from tests.acting import Parrot, Staged
from tests.talk import run_input, text_of, within

from .site import BASE, Caller, Site, first_event, read

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse"


class RolledBack(Exception):
    pass


def broken_login(request):
    """A login view in a transaction that fails after the user was signed in."""
    login(request, authenticate(request, **request.POST.dict()))
    raise RolledBack


async def async_login(request):
    await alogin(request, await User.objects.aget(username=request.POST["username"]))
    return HttpResponse("welcome")


@anonymous_visitor
def chat_page(request):
    return HttpResponse("chat")


@anonymous_visitor
async def async_chat_page(request):
    return HttpResponse("chat")


PAGES = (
    path("login", LoginView.as_view()),
    path("async-login", async_login),
    path("broken-login", broken_login),
    path("logout", LogoutView.as_view(next_page="/chat")),
    path("chat", chat_page),
    path("async-chat", async_chat_page),
)


@pytest.fixture(params=[InMemoryRunner, DatabaseRunner])
def runner(request):
    return request.param()


@pytest.fixture
async def mount(serve, settings, runner):
    """Put an endpoint for visitors on a site that has pages to sign in and out on."""

    def mount(**options):
        runtime = serve(**{"authentication": "anonymous", "runner": runner, **options})
        settings.ROOT_URLCONF = Site({BASE: runtime}, *PAGES)
        return runtime

    return mount


@pytest.fixture
async def site(mount):
    return mount()


@pytest.fixture
def browser():
    return Caller(headers={"origin": "http://testserver"})


@pytest.fixture(autouse=True)
async def users():
    return [await User.objects.acreate_user(name, password=PASSWORD) for name in ("ada", "bob")]


async def sign_in(browser, name="ada", at="/login"):
    answer = await browser.client.post(at, {"username": name, "password": PASSWORD})
    assert answer.status_code in (200, 302)


async def sign_out(browser):
    assert (await browser.client.post("/logout")).status_code == 302


async def titles(browser):
    """The ids of the caller's threads, as the list shows them."""
    answer = await browser.ask("GET", "/threads?agentId=default")
    return sorted(thread["id"] for thread in answer.data["threads"])


def cookie(browser):
    """The cookie of an anonymous browser, as it is sent; empty if it has none."""
    return getattr(browser.client.cookies.get(ANONYMOUS_COOKIE), "value", "")


@pytest.mark.parametrize("page", ["/login", "/async-login"])
async def test_login__threads_come_along(site, browser, users, runner, page):
    """What was said before signing in is the user's by the time the login is answered."""
    await browser.ask("GET", "/info")
    await browser.run(run_input("mine"))

    await sign_in(browser, at=page)

    records = await runner.threads.list(f"user:{users[0].pk}", _everything())
    assert [record.thread_id for record in records] == ["t1"]
    assert text_of((await browser.connect(run_input())).events) == "mine"
    assert await titles(browser) == ["t1"]


async def test_login__no_cookie(site, browser):
    """Who signs in on a browser that was never here brings nothing."""
    await sign_in(browser)

    assert await titles(browser) == []
    assert cookie(browser) == ""


async def test_login__forged_cookie(site, browser):
    """Nobody takes over the threads of a browser by naming it."""
    other = Caller(headers=dict(browser.headers))
    await other.ask("GET", "/info")
    await other.run(run_input("theirs"))
    browser.client.cookies[ANONYMOUS_COOKIE] = cookie(other).replace(":", "x:", 1)

    await sign_in(browser)

    assert await titles(browser) == []
    assert await titles(other) == ["t1"]


async def test_login__cookie_goes(site, browser):
    """With our first answer to the user the browser is no visitor any more."""
    await browser.ask("GET", "/info")
    await sign_in(browser)

    answer = await browser.ask("GET", "/info")

    assert cookie(browser) == ""
    assert "Cookie" in answer.headers["Vary"]
    again = await browser.ask("GET", "/info")
    assert ANONYMOUS_COOKIE not in again.headers.get("Set-Cookie", "")


async def test_login__in_the_middle_of_a_run(mount, browser, users):
    """The answer goes on, and stands in the user's list when it is finished."""
    agent = Staged()
    mount(agents={"default": agent})
    await browser.ask("GET", "/info")
    response = await browser.open("POST", "/agent/default/run", run_input())
    rest = await first_event(response)

    await sign_in(browser)
    assert agent.contexts[0].user is None
    agent.cue.set()
    said = b"".join([chunk async for chunk in rest])

    assert b"RUN_FINISHED" in said
    assert await titles(browser) == ["t1"]
    assert text_of((await browser.connect(run_input())).events) == "par"


async def test_login__stopped_by_the_user(mount, browser):
    """A run begun before signing in can be stopped after it."""
    agent = Staged()
    mount(agents={"default": agent})
    await browser.ask("GET", "/info")
    response = await browser.open("POST", "/agent/default/run", run_input())
    await within(agent.waiting.wait())
    await sign_in(browser)

    answer = await browser.ask("POST", "/agent/default/stop/t1")

    assert answer.data["stopped"]
    await within(agent.cancelled.wait())
    await read(response)


async def test_login__same_id(site, browser):
    """Of two threads with one id the user's stays what it was; the other one is there, too."""
    await sign_in(browser)
    await browser.run(run_input("before", thread="main"))
    await sign_out(browser)
    await browser.ask("GET", "/info")
    await browser.run(run_input("between", thread="main"))

    await sign_in(browser)

    names = await titles(browser)
    assert len(names) == 2
    assert text_of((await browser.connect(run_input(thread="main"))).events) == "before"
    (other,) = set(names) - {"main"}
    assert text_of((await browser.connect(run_input(thread=other))).events) == "between"


async def test_login__late_request(site, browser, users, runner):
    """What a request has begun for the visitor after the login comes along with the next one."""
    await browser.ask("GET", "/info")
    late = Caller(headers=dict(browser.headers))
    late.client.cookies[ANONYMOUS_COOKIE] = cookie(browser)
    await sign_in(browser)

    await late.run(run_input("late"))

    assert await titles(browser) == ["t1"]
    assert cookie(browser) == ""
    assert await titles(late) == []


async def test_login__parallel_requests(site, browser):
    """Requests that leave together after the login see one and the same user's threads."""
    await browser.ask("GET", "/info")
    await browser.run(run_input("mine"))
    await sign_in(browser)

    found = await asyncio.gather(*(titles(browser) for _ in range(8)))

    assert found == [["t1"]] * 8


async def test_login__two_at_once(site, browser, users):
    """Of two logins that race for a browser one takes all of its threads."""
    await browser.ask("GET", "/info")
    for number in range(5):
        await browser.run(run_input(thread=f"t{number}", run=f"r{number}"))
    tabs = [Caller(headers=dict(browser.headers)) for _ in users]
    for tab in tabs:
        tab.client.cookies[ANONYMOUS_COOKIE] = cookie(browser)

    await asyncio.gather(
        *(sign_in(tab, user.username) for tab, user in zip(tabs, users, strict=True))
    )

    found = [await titles(tab) for tab in tabs]
    assert sorted(found) == [[], [f"t{number}" for number in range(5)]]


async def test_login__team_scope(mount, browser):
    """Where threads belong to teams, those of the visitor go to the team."""
    mount(thread_scope=_team)
    await browser.ask("GET", "/info")
    await browser.run(run_input("mine"))
    await sign_in(browser)

    colleague = Caller(headers=dict(browser.headers))
    await sign_in(colleague, "bob")

    assert await titles(colleague) == ["t1"]
    assert not await Thread.objects.filter(user__isnull=False).aexists()


async def _team(request, user):
    return "team:7"


async def test_login__rolled_back(site, browser, monkeypatch):
    """A login that is rolled back moves nothing."""
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    browser.client.raise_request_exception = False
    await browser.ask("GET", "/info")
    await browser.run(run_input("mine"))

    answer = await browser.client.post("/broken-login", {"username": "ada", "password": PASSWORD})

    assert answer.status_code == 500
    assert await titles(browser) == ["t1"]
    assert not await Thread.objects.filter(user__isnull=False).aexists()


async def test_login__in_a_transaction(site, browser, monkeypatch):
    """A login within a transaction moves them once it is committed, without waiting for itself."""
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    await browser.ask("GET", "/info")
    await browser.run(run_input("mine"))

    await sign_in(browser)

    assert await titles(browser) == ["t1"]


async def test_login__store_down(site, browser, runner, monkeypatch, caplog):
    """Where the threads cannot be moved the login works, and the next request tries again."""
    await browser.ask("GET", "/info")
    await browser.run(run_input("mine"))

    async def fail(*args, **kwargs):
        raise StoreDown

    with monkeypatch.context() as patch:
        patch.setattr(runner.threads, "move", fail)
        await sign_in(browser)
        assert await titles(browser) == []
        assert cookie(browser) != ""
    assert "could not be given to the user" in caplog.text

    assert await titles(browser) == ["t1"]
    assert cookie(browser) == ""


async def test_login__switched_off(mount, browser):
    """With MERGE_ON_LOGIN off nobody is given them, and nobody finds them afterwards."""
    mount(merge_on_login=False)
    await browser.ask("GET", "/info")
    await browser.run(run_input("mine"))

    await sign_in(browser)
    assert await titles(browser) == []
    await sign_out(browser)

    assert await titles(browser) == []


async def test_login__receivers(site, browser, users):
    """The rest of the project is told, and may have its own things follow."""
    told = []

    def receive(**given):
        told.append(given)

    scope_merged.connect(receive)
    try:
        await browser.ask("GET", "/info")
        await browser.run(run_input("mine"))
        await sign_in(browser)
    finally:
        scope_merged.disconnect(receive)

    first = next(each for each in told if each["threads"])
    (moved,) = first["threads"]
    assert first["user"] == users[0]
    assert first["scope"] == f"user:{users[0].pk}"
    assert moved.before == ThreadRef(first["former_scope"], "t1")
    assert moved.after == ThreadRef(first["scope"], "t1")


async def test_logout__starts_afresh(site, browser):
    """Who signs out is a new visitor, who sees nothing of the user's and nothing of before."""
    await browser.ask("GET", "/info")
    first = cookie(browser)
    await browser.run(run_input("before", thread="t1"))
    await sign_in(browser)
    await browser.run(run_input("mine", thread="t2"))
    await sign_out(browser)

    await browser.ask("GET", "/info")

    assert cookie(browser) not in ("", first)
    assert await titles(browser) == []
    for thread in ("t1", "t2"):
        assert (await browser.connect(run_input(thread=thread))).events == []


async def test_logout__without_a_request_in_between(site, browser):
    """A browser that asked us nothing while somebody was signed in brings nothing of theirs."""
    await browser.ask("GET", "/info")
    await browser.run(run_input("before"))
    await sign_in(browser)
    await sign_out(browser)

    assert await titles(browser) == []
    await sign_in(browser, "bob")

    assert await titles(browser) == []


async def test_logout__two_users(site, browser):
    """Two users take turns on one browser: each gets what was said before they signed in."""
    for name in ("ada", "bob"):
        await browser.ask("GET", "/info")
        await browser.run(run_input(f"before {name}", thread=f"before-{name}", run=name))
        await sign_in(browser, name)
        await browser.run(run_input(f"as {name}", thread=f"as-{name}", run=f"2-{name}"))
        assert await titles(browser) == sorted([f"as-{name}", f"before-{name}"])
        await sign_out(browser)
        assert await titles(browser) == []


@pytest.mark.parametrize("page", ["/chat", "/async-chat"])
async def test_page__signed_in(site, browser, page):
    """The page of the chat gives a user no visitor's cookie; after signing out it does."""
    await sign_in(browser)
    await browser.client.get(page)
    assert cookie(browser) == ""
    await sign_out(browser)

    await browser.client.get(page)

    assert cookie(browser) != ""


@pytest.mark.parametrize("page", ["/chat", "/async-chat"])
async def test_page__parallel_first_requests(mount, browser, page):
    """With the cookie of the page all first requests of a browser are one visitor's."""
    mount(agents={"default": Parrot()})
    await browser.client.get(page)

    await asyncio.gather(
        *(browser.run(run_input(f"{n}", thread=f"t{n}", run=f"r{n}")) for n in range(5))
    )

    assert await titles(browser) == [f"t{number}" for number in range(5)]


def _everything():
    from copilotkit_django.runners import ThreadQuery

    return ThreadQuery()
