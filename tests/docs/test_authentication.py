"""What the page on authentication says is so."""

from __future__ import annotations

import subprocess
import sys
import time
from unittest.mock import Mock

import jwt
import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.test import RequestFactory

from copilotkit_django.identity import ANONYMOUS_COOKIE
from copilotkit_django.signals import scope_merged
from tests.integration.site import Caller
from tests.talk import run_input, text_of

from .pages import Page

KEY = "0123456789abcdef0123456789abcdef"

drafts = Mock()
page = Page("how-to/authentication.md", mysite__models={"Draft": drafts})

in_database = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _key_in_the_environment(monkeypatch):
    monkeypatch.setenv("JWT_KEY", KEY)


@pytest.fixture
async def sign_in():
    """A browser with a user of that name signed in."""

    async def signed_in(name: str, *groups: str) -> Caller:
        user = await User.objects.acreate_user(name)
        for group in groups:
            await user.groups.aadd((await Group.objects.aget_or_create(name=group))[0])
        browser = Caller(headers={"origin": "http://testserver"})
        await browser.client.aforce_login(user)
        return browser

    return signed_in


def bearer(key=KEY, **claims) -> dict[str, str]:
    token = jwt.encode({"exp": time.time() + 60, **claims}, key, algorithm="HS256")
    return {"authorization": f"Bearer {token}"}


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


@in_database
@page("Users of the site")
async def test_session(project, sign_in, nobody):
    """Signed-in users may call, in a scope of their own; nobody else may."""
    ada, bob = await sign_in("ada"), await sign_in("bob")

    await ada.run(run_input("mine"))

    assert text_of((await ada.connect(run_input())).events) == "mine"
    assert (await bob.connect(run_input())).events == []
    assert (await nobody.run(run_input())).status == 401


@page("Anybody")
async def test_anonymous(project):
    """Each browser has a scope of its own."""
    here, there = (Caller(headers={"origin": "http://testserver"}) for _ in range(2))
    await here.ask("GET", "/info")

    await here.run(run_input("mine"))

    assert text_of((await here.connect(run_input())).events) == "mine"
    assert (await there.connect(run_input())).events == []
    assert here.client.cookies[ANONYMOUS_COOKIE]["httponly"]


@page("Anybody")
def test_anonymous__page(project, monkeypatch):
    """The page sets the cookie."""
    from django.http import HttpResponse

    view = project["mysite.views"]
    monkeypatch.setattr(view, "render", lambda request, template: HttpResponse(template))

    answer = view.chat(RequestFactory().get("/"))

    assert ANONYMOUS_COOKIE in answer.cookies


@in_database
@page("When a visitor signs in")
async def test_merge__receiver(project, settings, sign_in):
    """What the project keeps by scope goes where the threads go."""
    settings.COPILOTKIT = {**settings.COPILOTKIT, "AUTHENTICATION": "anonymous"}
    visitor = Caller(headers={"origin": "http://testserver"})
    await visitor.ask("GET", "/info")
    await visitor.run(run_input("mine"))
    ada = await sign_in("ada")
    ada.client.cookies[ANONYMOUS_COOKIE] = visitor.client.cookies[ANONYMOUS_COOKIE].value

    try:
        answer = await ada.connect(run_input())
    finally:
        scope_merged.disconnect(project["mysite.receivers"].move_drafts)

    assert text_of(answer.events) == "mine"
    # Once for each endpoint of this process that there may still be.
    assert drafts.objects.filter.call_args.kwargs["scope"].startswith("anon:")
    drafts.objects.filter.return_value.update.assert_any_call(
        scope=f"user:{(await User.objects.aget()).pk}"
    )


@page("A token with claims")
async def test_claims(project, nobody):
    """A valid token lets its subject in, into their own scope."""
    await nobody.run(run_input("mine"), **bearer(sub="7"))

    assert text_of((await nobody.connect(run_input(), **bearer(sub="7"))).events) == "mine"
    assert (await nobody.connect(run_input(), **bearer(sub="8"))).events == []


@page("A token with claims")
@pytest.mark.parametrize(
    "headers",
    [
        bearer(sub="7", exp=1),
        bearer(sub="7", key=KEY[::-1]),
        bearer(),
        {"authorization": "Bearer nonsense"},
    ],
    ids=["expired", "foreign", "no subject", "nonsense"],
)
async def test_claims__refused(project, nobody, headers):
    """Any other token is refused, in the callable's own words."""
    answer = await nobody.run(run_input(), **headers)

    assert (answer.status, answer.data) == (401, {"error": "invalid_token"})
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@page("A token with claims")
@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic x"}])
async def test_claims__nobody(project, nobody, headers):
    """Without a token there is nobody."""
    answer = await nobody.run(run_input(), **headers)

    assert (answer.status, answer.data["error"]) == (401, "unauthenticated")


@page("A token with claims")
@pytest.mark.parametrize(("error", "status"), [(PermissionDenied, 403), (RuntimeError, 500)])
async def test_claims__check_fails(project, settings, nobody, error, status):
    """A check that fails lets nobody in."""

    def fail(request):
        raise error

    settings.COPILOTKIT = {**settings.COPILOTKIT, "AUTHENTICATION": fail}

    assert (await nobody.run(run_input(), **bearer(sub="7"))).status == status


@page.elsewhere("A token of Django REST framework")
def test_drf():
    """Tokens of Django REST framework work, in a project that has it."""
    command = [sys.executable, "-m", "tests.docs.drf_project"]

    result = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert result.returncode == 0, result.stderr


@in_database
@page("Threads of a team")
async def test_team(project, sign_in, settings):
    """Members of a group share its threads; who is in none has their own."""
    settings.COPILOTKIT = {**settings.COPILOTKIT, "AUTHENTICATION": "session"}
    ada, bob = await sign_in("ada", "sales"), await sign_in("bob", "sales")
    eve, dan = await sign_in("eve", "legal"), await sign_in("dan")

    await ada.run(run_input("ours"))

    assert text_of((await bob.connect(run_input())).events) == "ours"
    assert (await eve.connect(run_input())).events == []
    assert (await dan.connect(run_input())).events == []


@in_database
@page("Know the caller in an agent")
async def test_agent(project, sign_in):
    """The agent greets by name."""
    ada, stranger = await sign_in("ada"), Caller(headers={"origin": "http://testserver"})

    assert text_of((await ada.run(run_input())).events) == "Hello, ada!"
    assert text_of((await stranger.run(run_input())).events) == "Hello, stranger!"
