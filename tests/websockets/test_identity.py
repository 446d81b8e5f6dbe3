"""Who may open a socket, and for how long: origins, sessions, visitors, tickets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import alogin, get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.http import HttpResponse
from django.test import AsyncClient, AsyncRequestFactory
from django.utils import timezone

from copilotkit_django import tickets
from copilotkit_django.consumers import connect
from copilotkit_django.consumers import sockets as doors
from copilotkit_django.models import Ticket
from tests.integration.site import BASE, Caller, Connection
from tests.talk import kinds, run_input

from .sockets import Talk

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def browser() -> AsyncClient:
    """A browser somebody has signed in with."""
    user = await get_user_model().objects.acreate_user("anna", password="secret")
    client = AsyncClient()
    await client.aforce_login(user)
    return client


def cookies_of(client: AsyncClient) -> dict[str, str]:
    return {name: morsel.value for name, morsel in client.cookies.items()}


async def ticket_for(caller: Caller, **headers: str) -> Any:
    return await caller.ask("POST", "/websocket/ticket", {}, **headers)


@pytest.mark.parametrize(
    ("origin", "allowed", "accepted"),
    [
        ("http://testserver", [], True),
        ("http://evil.example", [], False),
        ("https://testserver", [], False),
        ("null", [], False),
        ("http://app.example", ["http://app.example"], True),
        ("http://app.example", ["*"], False),
        (None, [], False),
    ],
)
async def test_origin__of_a_browser(site, browser, sockets, origin, allowed, accepted):
    """A browser's cookies count only for pages of this host or of those that are listed."""
    application = site(authentication="session", allowed_origins=allowed)

    socket = sockets(Talk(application, cookies=cookies_of(browser), origin=origin))

    assert await socket.shake() is accepted


async def test_login_required(site, sockets, settings):
    """Middleware that sends visitors to a login page leaves sockets alone, as it does HTTP."""
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    socket = await sockets(Talk(site(), headers={"x-user": "alice"})).opened()

    await socket.run("a", "hello")

    assert kinds(await socket.until_end("a"))[-1] == "RUN_FINISHED"


async def test_origin__of_a_foreign_page_without_cookies(site, sockets):
    """A foreign page is refused even where nobody has to show who they are."""
    application = site(authentication="anonymous-shared")

    socket = sockets(Talk(application, origin="http://evil.example"))

    assert not await socket.shake()


async def test_origin__behind_a_proxy_that_ends_tls(site, browser, sockets, settings):
    """A page of this host is one behind TLS too, where the proxy says that there is."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    application = site(authentication="session")

    socket = sockets(
        Talk(
            application,
            cookies=cookies_of(browser),
            origin="https://testserver",
            headers={"x-forwarded-proto": "https"},
        )
    )

    assert await socket.shake()


async def test_session__nobody_signed_in(site, sockets):
    """Without a session the socket is closed with a code that says so."""
    socket = sockets(Talk(site(authentication="session")))

    assert await socket.shake()
    assert await socket.close_code() == 4401


async def test_session__works_and_owns_its_threads(site, browser, sockets):
    """A signed-in user's threads over the socket are those over HTTP."""
    application = site(authentication="session")
    socket = await sockets(Talk(application, cookies=cookies_of(browser))).opened()
    await socket.run("a")
    await socket.until_end("a")

    over_http = Caller(client=browser, headers={"origin": "http://testserver"})
    listed = await over_http.ask("GET", "/threads?agentId=default")

    assert [row["id"] for row in listed.data["threads"]] == ["t1"]


async def test_session__is_asked_anew_with_each_command(site, browser, sockets):
    """Once the session is gone the next command is refused, and the socket closed."""
    application = site(authentication="session")
    socket = await sockets(Talk(application, cookies=cookies_of(browser))).opened()
    await sync_to_async(SessionStore(browser.cookies["sessionid"].value).delete)()

    answer = await socket.answer_of({"type": "connect", "id": "a", "threadId": "t"})

    assert (answer["type"], answer["status"]) == ("error", 401)
    assert await socket.close_code() == 4401


async def test_logout__closes_the_sockets_of_the_session(site, browser, sockets):
    """Signing out closes this session's sockets at once, and nobody else's."""
    application = site(authentication="session")
    socket = await sockets(Talk(application, cookies=cookies_of(browser))).opened()
    user = await get_user_model().objects.aget(username="anna")
    elsewhere = AsyncClient()
    await elsewhere.aforce_login(user)
    other = await sockets(Talk(application, cookies=cookies_of(elsewhere))).opened()

    await browser.alogout()

    assert await socket.close_code() == 4401
    assert (await other.answer_of({"type": "ping"}))["type"] == "pong"


async def visitor() -> dict[str, str]:
    """The cookies of an anonymous browser that has been here."""
    caller = Caller(headers={"origin": "http://testserver"})
    await caller.ask("GET", "/info")
    return cookies_of(caller.client)


async def sign_in(cookies: dict[str, str]) -> dict[str, str]:
    """Sign somebody in on a browser; returns all of its cookies."""
    request = AsyncRequestFactory().get("/")
    request.COOKIES.update(cookies)
    request.session = SessionStore()
    await alogin(request, await get_user_model().objects.acreate_user("ben"))
    await request.session.asave()
    return {**cookies, "sessionid": request.session.session_key}


async def test_login__closes_the_sockets_of_the_visitor(site, sockets):
    """Who signs in is a visitor no more: the browser's sockets close, those of others do not."""
    application = site(authentication="anonymous")
    here, there = await visitor(), await visitor()
    socket = await sockets(Talk(application, cookies=here)).opened()
    other = await sockets(Talk(application, cookies=there)).opened()
    await socket.run("a")
    await socket.until_end("a")

    cookies = await sign_in(here)

    assert await socket.close_code() == 4401
    assert (await other.answer_of({"type": "ping"}))["type"] == "pong"
    again = await sockets(Talk(application, cookies=cookies)).opened()
    await again.follow("c")
    assert kinds(await again.until_end("c"))[-1] == "RUN_FINISHED"


async def test_login__browser_with_both_cookies(site, sockets):
    """A browser that has not lost its visitor's cookie yet is the user's on a socket, too."""
    application = site(authentication="anonymous")
    cookies = await sign_in(await visitor())

    socket = await sockets(Talk(application, cookies=cookies)).opened()
    await socket.run("a")

    assert kinds(await socket.until_end("a"))[-1] == "RUN_FINISHED"


async def test_password__changed(site, browser, sockets, monkeypatch):
    """An idle socket whose user has a new password is closed by the next check."""
    monkeypatch.setattr(doors, "RECHECK_SECONDS", 0.05)
    application = site(authentication="session")
    socket = await sockets(Talk(application, cookies=cookies_of(browser))).opened()
    assert (await socket.answer_of({"type": "ping"}))["type"] == "pong"

    user = await get_user_model().objects.aget(username="anna")
    user.set_password("another")
    await user.asave()

    assert await socket.close_code() == 4401


async def test_check__of_somebody_who_is_still_there(site, browser, sockets, monkeypatch):
    """A socket whose user is still signed in survives its checks."""
    monkeypatch.setattr(doors, "RECHECK_SECONDS", 0.01)
    application = site(authentication="session")
    socket = await sockets(Talk(application, cookies=cookies_of(browser))).opened()

    assert await socket.receive_nothing(0.2)
    assert (await socket.answer_of({"type": "ping"}))["type"] == "pong"


async def test_visitor__without_a_cookie(site, sockets):
    """A browser that nobody knows cannot be known by its socket either."""
    socket = sockets(Talk(site(authentication="anonymous")))

    assert await socket.shake()
    assert await socket.close_code() == 4401


async def test_visitor__with_a_cookie(site, sockets):
    """A visitor's socket is about the threads of that visitor."""
    application = site(authentication="anonymous")
    visitor = Caller(headers={"origin": "http://testserver"})
    await visitor.ask("GET", "/info")
    await visitor.run(run_input("hello"))

    socket = await sockets(Talk(application, cookies=cookies_of(visitor.client))).opened()
    await socket.follow("a")

    assert kinds(await socket.until_end("a"))[-1] == "RUN_FINISHED"


async def test_hooks__see_every_command(site, alice):
    """Hooks are called for the handshake and for each command, and may refuse them."""
    seen = []

    def on_before_handler(request, route):
        seen.append((route.method, route.agent_id, request.method, request.headers["x-user"]))
        if route.method == "agent/stop":
            return HttpResponse("no", status=418)
        return None

    socket = await alice(site(hooks={"on_before_handler": on_before_handler}))
    await socket.follow("a")
    await socket.until_end("a")
    answer = await socket.answer_of({"type": "stop", "id": "s", "threadId": "t"})

    assert seen == [
        ("websocket/open", "default", "POST", "alice"),
        ("agent/connect", "default", "POST", "alice"),
        ("agent/stop", "default", "POST", "alice"),
    ]
    assert (answer["status"], answer["body"]) == (418, {"error": "http_418"})


async def test_middleware__of_the_project(site, alice, settings):
    """The project's middleware sees commands like requests."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.websockets.middleware.closed_for_stops"]
    socket = await alice(site())

    answer = await socket.answer_of({"type": "stop", "id": "s", "threadId": "t"})

    assert (answer["status"], answer["body"]) == (503, {"error": "closed"})


async def test_rates__count_commands_and_sockets(site, alice, sockets):
    """The limits of RATE_LIMITS hold over the socket; how often one is opened has its own."""
    application = site(rate_limits={"stop": "1/h", "websocket": "1/h"})
    socket = await alice(application)
    stop = {"type": "stop", "id": "s", "threadId": "t"}
    assert (await socket.answer_of(stop))["type"] == "result"

    answer = await socket.answer_of(stop)
    second = sockets(Talk(application, headers={"x-user": "alice"}))
    assert await second.shake()

    assert answer["status"] == 429
    assert 0 < answer["retryAfter"] <= 3600
    assert await second.close_code() == 4429


async def test_agent__that_is_not_there(site, sockets):
    """A socket of an unknown agent is closed with a code that says so."""
    socket = sockets(Talk(site(), agent="nobody", headers={"x-user": "alice"}))

    assert await socket.shake()
    assert await socket.close_code() == 4404


async def test_foreign_threads__do_not_exist(site, alice, sockets):
    """Another's thread has no history and no run to stop."""
    application = site()
    socket = await alice(application)
    await socket.run("a")
    await socket.until_end("a")

    bob = await sockets(Talk(application, headers={"x-user": "bob"})).opened()
    await bob.follow("b")

    assert await bob.until_end("b") == []
    answer = await bob.answer_of({"type": "stop", "id": "s", "threadId": "t1"})
    assert answer["body"]["stopped"] is False


class TestTickets:
    async def test_ticket__stands_for_its_headers(self, site, alice, sockets):
        """A ticket opens a socket as whoever asked for it, from any origin and without headers."""
        application = site()
        caller = Caller(headers={"x-user": "alice"})
        await caller.run(run_input("hello"))
        given = await ticket_for(caller)
        assert given.data["expiresIn"] == 60

        query = {"ticket": given.data["ticket"]}
        socket = await sockets(Talk(application, query=query, origin=None)).opened()
        await socket.follow("a")

        assert kinds(await socket.until_end("a"))[-1] == "RUN_FINISHED"

    async def test_ticket__of_a_session(self, site, browser, sockets):
        """A ticket asked for with a session ends with it."""
        application = site(authentication="session")
        caller = Caller(client=browser, headers={"origin": "http://testserver"})
        given = await ticket_for(caller)
        query = {"ticket": given.data["ticket"]}
        socket = await sockets(Talk(application, query=query, origin=None)).opened()

        await browser.alogout()

        assert await socket.close_code() == 4401

    async def test_ticket__used_twice(self, site, sockets):
        """A ticket is good once."""
        application = site()
        given = await ticket_for(Caller(headers={"x-user": "alice"}))
        query = {"ticket": given.data["ticket"]}
        await sockets(Talk(application, query=query)).opened()

        second = sockets(Talk(application, query=query))

        assert await second.shake()
        assert await second.close_code() == 4401

    async def test_ticket__too_old(self, site, sockets):
        """A ticket that nobody has redeemed for a minute is none; asking sweeps such away."""
        application = site()
        caller = Caller(headers={"x-user": "alice"})
        given = await ticket_for(caller)
        await Ticket.objects.aupdate(expires_at=timezone.now())

        socket = sockets(Talk(application, query={"ticket": given.data["ticket"]}))
        assert await socket.shake()

        assert await socket.close_code() == 4401
        await ticket_for(caller)
        assert await Ticket.objects.acount() == 1

    @pytest.mark.parametrize("ticket", ["", "x", "ü\x00", "a" * 5000])
    async def test_ticket__that_is_none(self, site, sockets, ticket):
        """A made-up ticket opens nothing, cookies or not."""
        socket = sockets(Talk(site(), headers={"x-user": "alice"}, query={"ticket": ticket}))

        assert await socket.shake()
        assert await socket.close_code() == 4401

    async def test_ticket__is_not_kept(self, site, sockets):
        """Whoever reads the table has neither tickets nor the headers they stand for."""
        site()
        given = await ticket_for(
            Caller(headers={"x-user": "alice", "authorization": "Bearer swordfish"})
        )

        row = await Ticket.objects.aget()

        kept = f"{row.digest} {bytes(row.headers)!r}"
        assert given.data["ticket"] not in kept
        assert "swordfish" not in kept
        assert tickets._digest(given.data["ticket"]) == row.digest

    async def test_ticket__for_nobody(self, site):
        """Who may not call gets no ticket; nor does a visitor nobody could know again."""
        site()
        assert (await ticket_for(Caller())).status == 401

        site(authentication="anonymous")
        assert (await ticket_for(Caller())).status == 401

    async def test_ticket__asked_for_by_a_foreign_page(self, site, browser):
        """A page of another site cannot have a ticket made for whoever visits it."""
        site(authentication="session")

        answer = await ticket_for(Caller(client=browser, headers={"origin": "http://evil.example"}))

        assert answer.status == 403
        assert not await Ticket.objects.aexists()

    async def test_ticket__redeemed_by_two_at_once(self, site, sockets):
        """Of two who redeem a ticket at the same time, one gets in."""
        application = site()
        given = await ticket_for(Caller(headers={"x-user": "alice"}))
        query = {"ticket": given.data["ticket"]}
        both = [sockets(Talk(application, query=query)) for _ in range(2)]
        for socket in both:
            await socket.send_input({"type": "websocket.connect"})
        outcomes = []
        for socket in both:
            assert (await socket.receive_output(5))["type"] == "websocket.accept"
            outcomes.append((await socket.receive_output(5))["type"])

        assert sorted(outcomes) == ["websocket.close", "websocket.send"]

    async def test_ticket__by_path(self, site):
        """The route is below the endpoint, for POST."""
        site()

        assert (await Caller(headers={"x-user": "a"}).ask("GET", "/websocket/ticket")).status == 405
        assert BASE

    async def test_ticket__on_a_site_of_another_name(self, site, sockets, settings):
        """A ticket is redeemed on a site that answers to its own name only."""
        application = site()
        settings.ALLOWED_HOSTS = ["mysite.example"]
        headers = {"x-user": "alice", "host": "mysite.example"}
        asking = Connection(application, f"{BASE}/websocket/ticket", b"{}", headers=headers)
        assert await asking.begin() == 200
        query = {"ticket": json.loads(await asking.finish())["ticket"]}

        await sockets(Talk(application, query=query, origin=None)).opened()

    async def test_ticket__while_the_database_is_away(self, site, sockets, monkeypatch):
        """Who cannot be let in for a reason of the server's is told to come back."""
        application = site()

        async def failing(ticket):
            raise OperationalError("away")

        monkeypatch.setattr(connect, "redeem", failing)
        socket = sockets(Talk(application, query={"ticket": "x"}))

        assert await socket.shake()
        assert await socket.close_code() == 1011
