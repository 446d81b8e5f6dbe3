"""Which pages may call with the cookies of a browser, without the client sending a token."""

from __future__ import annotations

import pytest

from copilotkit_django.identity import ANONYMOUS_COOKIE
from tests.talk import run_input

from .site import Caller

SECRET = "a" * 32
OWN = "http://testserver"
LISTED = "https://app.example.com"
TRUSTED = "https://admin.example.org"
WILD = "https://a.b.example.net"
EVIL = "https://evil.example"


@pytest.fixture
def site(serve, settings):
    settings.CSRF_TRUSTED_ORIGINS = [TRUSTED, "https://*.example.net"]
    return serve(authentication="anonymous-shared", allowed_origins=[LISTED])


def browser(cookie="sessionid", **headers):
    caller = Caller(headers={name.replace("_", "-"): value for name, value in headers.items()})
    if cookie:
        caller.client.cookies[cookie] = "anything"
    if "x_csrftoken" in headers:
        caller.client.cookies["csrftoken"] = SECRET
    return caller


ACCEPTED = [
    {"origin": OWN},
    {"origin": LISTED},
    {"origin": TRUSTED},
    {"origin": WILD},
    {"origin": "https://example.net"},
    {"referer": f"{OWN}/page?x=1"},
    {"referer": f"{LISTED}/page"},
    {"referer": f"{WILD}/"},
    {"x_csrftoken": SECRET},
    {"x_csrftoken": SECRET, "origin": EVIL},
    {"x_csrftoken": SECRET, "referer": f"{EVIL}/"},
    {"x_csrftoken": "b" * 32, "origin": OWN},
]
REFUSED = [
    {},
    {"origin": EVIL},
    {"origin": "null"},
    {"origin": "https://testserver"},
    {"origin": "http://testserver:8000"},
    {"origin": "http://app.example.com"},
    {"origin": "https://app.example.com.evil.example"},
    {"origin": "https://evilexample.net"},
    {"origin": "http://a.b.example.net"},
    {"origin": "https://example.org"},
    {"origin": "https://["},
    {"referer": f"{EVIL}/{OWN}/"},
    {"referer": "/page"},
    {"referer": "https://["},
    {"origin": EVIL, "referer": f"{OWN}/page"},
    {"x_csrftoken": "b" * 32},
    {"x_csrftoken": "short"},
    {"x_csrftoken": "b" * 32, "origin": EVIL},
]


@pytest.mark.parametrize("cookie", ["sessionid", ANONYMOUS_COOKIE])
@pytest.mark.parametrize("headers", ACCEPTED)
async def test_post__accepted(site, headers, cookie):
    """A page of this host or of a listed one may call, and so may whoever has a token."""
    assert (await browser(cookie, **headers).run(run_input())).status == 200


@pytest.mark.parametrize("cookie", ["sessionid", ANONYMOUS_COOKIE])
@pytest.mark.parametrize("headers", REFUSED)
async def test_post__refused(site, headers, cookie):
    """Any other page is refused with a reason, for visitors' cookies as well."""
    answer = await browser(cookie, **headers).run(run_input())

    assert answer.status == 403
    assert answer.data["error"] == "csrf_failed"


async def test_post__refused_names_the_fix(site):
    """Who sets up a second site is told which settings to add it to."""
    message = (await browser(origin=EVIL).run(run_input())).data["message"]

    assert EVIL in message
    assert "ALLOWED_ORIGINS" in message
    assert "CSRF_TRUSTED_ORIGINS" in message


async def test_post__malformed_form(site):
    """A token is looked for in forms, too; one that cannot be read has none."""
    form = "multipart/form-data"

    answer = await browser(x_csrftoken=SECRET).ask("POST", "", b"no form", content_type=form)

    assert answer.status == 403
    assert answer.data["error"] == "csrf_failed"


@pytest.mark.parametrize("headers", [*ACCEPTED, *REFUSED])
async def test_post__no_cookies(site, headers):
    """A request that carries none of our cookies has nothing to protect."""
    caller = browser(cookie=None, **headers)

    assert (await caller.run(run_input())).status == 200


async def test_post__other_cookies(site):
    """Cookies of somebody else's do not count."""
    assert (await browser("theme", origin=EVIL).run(run_input())).status == 200


async def test_post__cookie_of_a_callable(serve):
    """Where a callable signs people in, any cookie may be the one it reads."""
    serve(authentication=lambda request: (None, request.COOKIES.get("jwt", "")))

    assert (await browser("jwt", origin=EVIL).run(run_input())).status == 403


#: What a page of any origin can have a browser send without a preflight.
FORMS = [
    "text/plain",
    "text/plain;charset=UTF-8",
    "text/plain; application/json",
    "TEXT/PLAIN",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=application/json",
    "text/plain, application/json",
    "application/json application/json",
    "",
]


def by_ambient_credentials(request):
    """An AUTHENTICATION callable that takes what browsers send by themselves, and what they don't.

    As with REMOTE_USER or a certificate, nothing about the request need show it.
    """
    return None, "user:7"


@pytest.mark.parametrize("content_type", FORMS)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic YWRhOnNlY3JldA=="}])
@pytest.mark.parametrize("path", ["/agent/default/run", "/threads/clear", "/agent/default/stop/t"])
async def test_post__foreign_form(serve, content_type, headers, path):
    """A form on a foreign page is refused, whatever the browser may have added to sign us in."""
    serve(authentication=by_ambient_credentials)
    page = browser(cookie=None, origin=EVIL, **headers)

    answer = await page.ask("POST", path, run_input(), content_type=content_type)

    assert (answer.status, answer.data["error"]) == (403, "csrf_failed")
    assert EVIL in answer.data["message"]


@pytest.mark.parametrize("mode", ["session", "anonymous"])
async def test_post__foreign_form_without_cookies(serve, mode):
    """So it is in the other modes: middleware may know who it is."""
    serve(authentication=mode)

    answer = await browser(cookie=None, origin=EVIL).run(run_input(), content_type="text/plain")

    assert answer.status == 403


@pytest.mark.parametrize("scheme", ["basic", "Digest", "Negotiate", "NTLM"])
async def test_post__what_browsers_sign_with(serve, scheme):
    """Schemes that browsers use on their own prove nothing."""
    serve(authentication=by_ambient_credentials)
    page = browser(cookie=None, origin=EVIL, authorization=f"{scheme} abc")

    assert (await page.run(run_input(), content_type="text/plain")).status == 403


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        ("application/json", {}),
        ("application/json", {"authorization": "Basic YWRhOnNlY3JldA=="}),
        ("text/plain", {"authorization": "Bearer abc"}),
        ("text/plain", {"authorization": "Token abc"}),
    ],
)
async def test_post__asked_by_a_preflight(serve, content_type, headers):
    """What no browser sends across origins unasked is for CORS to allow, not for us to refuse."""
    serve(authentication=by_ambient_credentials)
    page = browser(cookie=None, origin=EVIL, **headers)

    assert (await page.run(run_input(), content_type=content_type)).status == 200


@pytest.mark.parametrize("headers", [{}, *({"origin": each} for each in (OWN, LISTED))])
async def test_post__form_of_our_own(serve, headers):
    """Programs that name no page, and pages we trust, may send what they like."""
    serve(authentication=by_ambient_credentials, allowed_origins=[LISTED])
    page = browser(cookie=None, authorization="Basic abc", **headers)

    assert (await page.run(run_input(), content_type="text/plain")).status == 200


async def test_get__any_origin(site):
    """What changes nothing needs no trust; the answer is the browser's to keep from a page."""
    assert (await browser(origin=EVIL).ask("GET", "/info")).status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("PATCH", "/threads/t1"), ("DELETE", "/threads/t1")]
)
async def test_unsafe_methods__refused(site, method, path):
    """Every method that may change something is checked, and envelopes are."""
    assert (await browser(origin=EVIL).ask(method, path, {"method": "info"})).status == 403


async def test_post__any_origin_allowed(serve):
    """A star opens an endpoint to callers without cookies, never to those with them."""
    serve(authentication="anonymous-shared", allowed_origins=["*"])

    assert (await browser(origin=EVIL).run(run_input())).status == 403
    assert (await browser(cookie=None, origin=EVIL).run(run_input())).status == 200


async def test_post__wrong_host(site):
    """A Host that is not this site's is a bad request, not a trusted one."""
    caller = browser(origin="http://evil.example", host="evil.example")

    assert (await caller.run(run_input())).status == 400


@pytest.mark.parametrize(("origin", "allowed"), [(LISTED, True), (EVIL, False), (OWN, False)])
async def test_preflight__listed_origins(site, origin, allowed):
    """django-cors-headers answers for the origins of the endpoint, and for no others."""
    caller = Caller(headers={"origin": origin, "access-control-request-method": "POST"})

    answer = await caller.ask("OPTIONS", "/agent/default/run")

    assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed


@pytest.mark.parametrize(("end", "allowed"), [("", True), ("/", False)])
async def test_cors__origin_with_a_slash(site, settings, end, allowed):
    """An origin ends with its host; what merely looks like a listed one is not listed."""
    settings.MIDDLEWARE = ["copilotkit_django.origins.CorsMiddleware"]
    settings.CORS_ALLOWED_ORIGINS = [WILD]

    answer = await Caller(headers={"origin": WILD + end}).ask("GET", "/info")

    assert ("Access-Control-Allow-Origin" in answer.headers) is allowed


async def test_cors__other_paths(site, settings):
    """The origins of an endpoint are not those of the rest of the site."""
    caller = Caller(base="", headers={"origin": LISTED})

    answer = await caller.ask("GET", "/elsewhere")

    assert "Access-Control-Allow-Origin" not in answer.headers
