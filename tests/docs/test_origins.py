"""What the page on origins says is so."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from copilotkit_django.checks import check_origins
from tests.integration.site import Caller, by_header
from tests.talk import run_input

from .pages import Page

APP = "https://app.example.com"
EVIL = "https://evil.example"
ALLOW_ORIGIN = "Access-Control-Allow-Origin"
ALLOW_CREDENTIALS = "Access-Control-Allow-Credentials"

page = Page("how-to/origins.md", mysite__auth={"by_token": by_header})

in_database = pytest.mark.django_db(transaction=True)


async def signed_in(**headers) -> Caller:
    browser = Caller(headers=headers)
    await browser.client.aforce_login(await User.objects.acreate_user("ada"))
    return browser


async def preflight(caller, origin, *, method, headers):
    asked = {"access-control-request-method": method, "access-control-request-headers": headers}
    return await caller.ask("OPTIONS", "/threads/t1", origin=origin, **asked)


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


@in_database
@page("Let a page in")
async def test_cookies(project):
    """A listed page may call with the cookies of the user, and read the answer."""
    browser = await signed_in(origin=APP)

    answer = await browser.run(run_input())

    assert answer.status == 200
    assert answer.headers[ALLOW_ORIGIN] == APP
    assert answer.headers[ALLOW_CREDENTIALS] == "true"
    assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"


@in_database
@page("Let a page in")
async def test_cookies__other_page(project):
    """Any other page is refused, and may not even read that."""
    browser = await signed_in(origin=EVIL)

    answer = await browser.run(run_input())

    assert (answer.status, answer.data["error"]) == (403, "csrf_failed")
    assert ALLOW_ORIGIN not in answer.headers


@page("Let a page in")
async def test_preflight(project, nobody):
    """A listed page may use every method and header the client needs."""
    answer = await preflight(nobody, APP, method="PATCH", headers="authorization, x-tenant")

    assert answer.headers[ALLOW_ORIGIN] == APP
    assert {"PATCH", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert {"authorization", "x-tenant"} <= set(
        answer.headers["Access-Control-Allow-Headers"].split(", ")
    )


@page("Let a page in")
def test_cookies__samesite(project, settings):
    """The session cookie is one that browsers send across sites."""
    assert settings.SESSION_COOKIE_SAMESITE == "None"
    assert settings.SESSION_COOKIE_SECURE is True


@page("Let a page in")
def test_check__no_middleware(project, settings):
    """Origins without the middleware are an error of the checks."""
    assert check_origins() == []

    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if "Cors" not in path]

    assert [message.id for message in check_origins()] == ["copilotkit.E004"]


@page("Use a token instead of cookies")
async def test_token(project, alice):
    """A request with a token and without cookies is let in from a listed page."""
    answer = await alice.run(run_input(), origin=APP)

    assert answer.status == 200
    assert answer.headers[ALLOW_ORIGIN] == APP


@page("Use a token instead of cookies")
async def test_token__other_page(project, alice):
    """Without a cookie there is nothing to protect; the browser keeps the answer to itself."""
    answer = await alice.run(run_input(), origin=EVIL)

    assert answer.status == 200
    assert ALLOW_ORIGIN not in answer.headers


@in_database
@page("Behind a proxy that ends TLS")
@pytest.mark.parametrize(("scheme", "status"), [("https", 200), ("http", 403)])
async def test_proxy(project, scheme, status):
    """The scheme is the one the proxy tells, so that the site's own pages are known."""
    browser = await signed_in(origin="https://testserver")

    answer = await browser.run(run_input(), x_forwarded_proto=scheme)

    assert answer.status == status
