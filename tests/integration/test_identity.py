"""Who calls: every mode of AUTHENTICATION, and the cookie of anonymous browsers."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.http import HttpResponse, JsonResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import SimpleLazyObject

from copilotkit_django.hooks import ShortCircuit
from copilotkit_django.identity import ANONYMOUS_COOKIE, Identity, anonymous_visitor
from tests.acting import Staged
from tests.talk import run_input, text_of

from .site import Caller, first_event

SAME_ORIGIN = {"origin": "http://testserver"}


@pytest.fixture
def browser():
    """A browser that is where our page is, and keeps cookies."""
    return Caller(headers=dict(SAME_ORIGIN))


@pytest.fixture
def other_browser():
    return Caller(headers=dict(SAME_ORIGIN))


@pytest.fixture
def agent():
    agent = Staged()
    agent.cue.set()
    return agent


class SendEverybodyAway(MiddlewareMixin):
    def process_request(self, request):
        request.user = AnonymousUser()


class ByToken(MiddlewareMixin):
    def process_request(self, request):
        request.user = SimpleLazyObject(
            lambda: User.objects.get(username=request.headers["x-token"])
        )


@pytest.mark.django_db(transaction=True)
class TestSession:
    async def test_session__signed_in(self, serve, browser, agent):
        """A signed-in user has a scope of their own, and the agent knows them."""
        user = await User.objects.acreate_user("ada")
        await browser.client.aforce_login(user)
        serve(authentication="session", agents={"default": agent})

        answer = await browser.run(run_input())

        assert text_of(answer.events) == "par"
        assert agent.contexts[0].user == user
        assert agent.contexts[0].scope == f"user:{user.pk}"

    async def test_session__nobody(self, serve, browser):
        """Without a session there is nobody."""
        serve(authentication="session")

        assert (await browser.run(run_input())).status == 401

    async def test_session__gone(self, serve, browser):
        """A cookie of a session that is gone is nobody's."""
        browser.client.cookies["sessionid"] = "x" * 32
        serve(authentication="session")

        assert (await browser.run(run_input())).status == 401

    async def test_session__deactivated_user(self, serve, browser):
        """A user who was deactivated since is nobody."""
        user = await User.objects.acreate_user("ada")
        await browser.client.aforce_login(user)
        user.is_active = False
        await user.asave()
        serve(authentication="session")

        assert (await browser.run(run_input())).status == 401

    async def test_session__middleware_has_the_last_word(self, serve, browser, settings):
        """Whom the project's own middleware lets nobody be is nobody."""
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.SendEverybodyAway"]
        await browser.client.aforce_login(await User.objects.acreate_user("ada"))
        serve(authentication="session")

        assert (await browser.run(run_input())).status == 401

    async def test_session__middleware_knows_others(self, serve, browser, settings, agent):
        """Whom it knows without a session is known, though it looks them up only when asked."""
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.ByToken"]
        user = await User.objects.acreate_user("ada")
        serve(authentication="session", agents={"default": agent})

        await browser.run(run_input(), x_token="ada")

        assert agent.contexts[0].scope == f"user:{user.pk}"

    async def test_session__two_users(self, serve, browser, other_browser):
        """Two users with one thread id have two threads."""
        for caller, name in ((browser, "ada"), (other_browser, "bob")):
            await caller.client.aforce_login(await User.objects.acreate_user(name))
        serve(authentication="session")
        await browser.run(run_input("mine"))

        assert text_of((await browser.connect(run_input())).events) == "mine"
        assert (await other_browser.connect(run_input())).events == []

    @pytest.mark.parametrize("is_async", [True, False])
    async def test_session__team_scope(self, serve, browser, other_browser, agent, is_async):
        """With THREAD_SCOPE users may share what is a team's."""

        def team(request, user):
            return f"team:{User.objects.filter(is_staff=user.is_staff).count()}"

        async def async_team(request, user):
            return f"team:{await User.objects.filter(is_staff=user.is_staff).acount()}"

        for caller, name in ((browser, "ada"), (other_browser, "bob")):
            await caller.client.aforce_login(await User.objects.acreate_user(name))
        scope = async_team if is_async else team
        serve(authentication="session", thread_scope=scope, agents={"default": agent})
        await browser.run(run_input())

        assert text_of((await other_browser.connect(run_input())).events) == "par"
        assert agent.contexts[0].scope == "team:2"

    async def test_session__team_of_two(self, serve, agent):
        """Two of a team do everything on its threads; a third user finds none of them."""

        async def team(request, user):
            return f"team:{await user.groups.values_list('pk', flat=True).afirst() or user.pk}"

        group = await Group.objects.acreate(name="sales")
        ada, bob, eve = (Caller(headers=dict(SAME_ORIGIN)) for _ in range(3))
        for caller, name in ((ada, "ada"), (bob, "bob"), (eve, "eve")):
            user = await User.objects.acreate_user(name)
            if caller is not eve:
                await user.groups.aadd(group)
            await caller.client.aforce_login(user)
        serve(authentication="session", thread_scope=team, agents={"default": agent})
        await ada.run(run_input())
        agent.cue.clear()
        response = await ada.open("POST", "/agent/default/run", run_input(run="r2"))
        live = await first_event(response)

        async def listed(caller):
            answer = await caller.ask("GET", "/threads?agentId=default")
            return [(row["id"], row["name"]) for row in answer.data["threads"]]

        change = {"name": "Ours", "agentId": "default"}
        for caller, status in ((eve, 404), (bob, 200)):
            assert (await caller.ask("PATCH", "/threads/t1", change)).status == status
            answer = await caller.ask("POST", "/agent/default/stop/t1")
            assert answer.data["stopped"] is (caller is bob)
        async for _ in live:
            pass

        assert await listed(ada) == await listed(bob) == [("t1", "Ours")]
        assert await listed(eve) == []
        assert (await eve.connect(run_input())).events == []
        assert (await eve.ask("DELETE", "/threads/t1", {"agentId": "default"})).status == 404
        assert (await bob.ask("DELETE", "/threads/t1", {"agentId": "default"})).status == 200
        assert await listed(ada) == []

    @pytest.mark.parametrize("scope", [None, ""])
    async def test_session__no_team(self, serve, browser, scope, caplog):
        """A user THREAD_SCOPE has no scope for does not share one with all others like them."""
        await browser.client.aforce_login(await User.objects.acreate_user("ada"))
        serve(authentication="session", thread_scope=lambda request, user: scope)

        assert (await browser.run(run_input())).status == 500
        assert "without a scope" in caplog.text

    async def test_session__endless_name_of_a_team(self, serve, browser, caplog):
        """A scope that does not fit into the database is said to be what is wrong."""
        await browser.client.aforce_login(await User.objects.acreate_user("ada"))
        serve(authentication="session", thread_scope=lambda request, user: "t" * 256)

        assert (await browser.run(run_input())).status == 500
        assert "A scope may have 255 characters, not 256" in caplog.text

    async def test_anonymous__signed_in(self, serve, browser, agent):
        """Where anybody may call, users still have their own scope and get no visitor's cookie."""
        user = await User.objects.acreate_user("ada")
        await browser.client.aforce_login(user)
        serve(authentication="anonymous", agents={"default": agent})

        answer = await browser.run(run_input())

        assert agent.contexts[0].scope == f"user:{user.pk}"
        assert answer.status == 200
        assert ANONYMOUS_COOKIE not in browser.client.cookies

    async def test_callable__user_of_the_request(self, serve, browser, settings):
        """Hooks find the caller in the request, whoever the session says it is."""
        seen = []

        async def look(request):
            seen.append((request.user, await request.auser()))

        ada, bob = [await User.objects.acreate_user(name) for name in ("ada", "bob")]
        await browser.client.aforce_login(ada)
        serve(authentication=lambda request: bob, hooks={"on_request": look})

        await browser.run(run_input())

        assert seen == [(bob, bob)]

    async def test_session__login_required_everywhere(self, serve, browser, settings):
        """Where Django redirects everybody to a login page, nobody here is redirected."""
        settings.MIDDLEWARE = [
            *settings.MIDDLEWARE,
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ]
        serve(authentication="session")

        answer = await browser.run(run_input())

        assert (answer.status, answer.data["error"]) == (401, "unauthenticated")

    async def test_callable__user(self, serve, browser, agent):
        """A callable may return a user, and have looked for them in the database."""
        user = await User.objects.acreate_user("ada")

        def find(request):
            return User.objects.get(username=request.headers["x-name"])

        serve(authentication=find, agents={"default": agent})
        await browser.run(run_input(), x_name="ada")

        assert agent.contexts[0].user == user
        assert agent.contexts[0].scope == f"user:{user.pk}"

    async def test_run__holds_no_connection(self, serve, browser, agent):
        """While a stream is open nothing of the request keeps the database."""
        from django.db import connections

        used = []

        def find(request):
            used.append(connections["default"])
            return User.objects.first(), "everybody"

        agent.cue.clear()
        serve(authentication=find, agents={"default": agent})

        await browser.open("POST", "/agent/default/run", run_input())

        assert used[0].connection is None


class TestCallable:
    @pytest.mark.parametrize(
        "answer", [None, AnonymousUser(), JsonResponse({"error": "mine"}, status=418)]
    )
    @pytest.mark.parametrize("is_async", [True, False])
    async def test_callable__refuses(self, serve, nobody, answer, is_async):
        """Nobody is a 401 of ours; a response is the answer as it is."""

        def sync_find(request):
            return answer

        async def async_find(request):
            return answer

        serve(authentication=async_find if is_async else sync_find)

        got = await nobody.run(run_input())

        if isinstance(answer, HttpResponse):
            assert (got.status, got.data) == (418, {"error": "mine"})
        else:
            assert (got.status, got.data["error"]) == (401, "unauthenticated")

    async def test_callable__short_circuit(self, serve, nobody):
        """A response may be raised as well."""

        def find(request):
            raise ShortCircuit(JsonResponse({"error": "mine"}, status=418))

        serve(authentication=find)

        assert (await nobody.run(run_input())).status == 418

    @pytest.mark.parametrize("answer", [(None, "team:7"), Identity("team:7")])
    async def test_callable__scope(self, serve, nobody, agent, answer):
        """A scope may be given with or without a user."""
        serve(authentication=lambda request: answer, agents={"default": agent})

        await nobody.run(run_input())

        assert agent.contexts[0].scope == "team:7"
        assert agent.contexts[0].user is None

    async def test_callable__user_and_scope(self, serve, nobody, agent):
        """A pair is the user and the scope to work in."""
        user = User(pk=7, username="ada")
        serve(authentication=lambda request: (user, 42), agents={"default": agent})

        await nobody.run(run_input())

        assert agent.contexts[0].scope == "42"
        assert agent.contexts[0].user is user

    @pytest.mark.parametrize("answer", [(None, None), (None, ""), (User(username="new"))])
    async def test_callable__no_scope(self, serve, nobody, answer, caplog):
        """Nobody is let in without a scope: all who are would share it."""
        serve(authentication=lambda request: answer)

        assert (await nobody.run(run_input())).status == 500
        assert "without a scope" in caplog.text

    async def test_callable__fails(self, serve, nobody, caplog):
        """A callable that fails lets nobody in, and tells nobody why."""

        def find(request):
            raise RuntimeError("secret")

        serve(authentication=find)

        answer = await nobody.run(run_input())

        assert (answer.status, answer.data) == (500, {"error": "internal_error"})
        assert "secret" in caplog.text

    async def test_callable__dotted_path(self, serve, alice):
        """The callable may be named."""
        serve(authentication="tests.integration.site.by_header")

        assert (await alice.run(run_input())).status == 200


class TestAnonymous:
    async def test_shared__anybody(self, serve, nobody, agent):
        """In the mode for tests everybody shares one scope, without a cookie."""
        serve(authentication="anonymous-shared", agents={"default": agent})
        await nobody.run(run_input())

        assert text_of((await Caller().connect(run_input())).events) == "par"
        assert not nobody.client.cookies

    async def test_cookie__set_by_info(self, serve, browser):
        """The first answer gives a browser its cookie, out of reach of scripts."""
        serve(authentication="anonymous")

        answer = await browser.ask("GET", "/info")

        cookie = browser.client.cookies[ANONYMOUS_COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert "Cookie" in answer.headers["Vary"]

    async def test_cookie__follows_the_session_settings(self, serve, browser, settings):
        """What the project says of its session cookie holds for this one."""
        settings.SESSION_COOKIE_SECURE = True
        settings.SESSION_COOKIE_SAMESITE = "None"
        settings.SESSION_COOKIE_PATH = "/api"
        serve(authentication="anonymous")

        await browser.ask("GET", "/info")

        cookie = browser.client.cookies[ANONYMOUS_COOKIE]
        assert cookie["secure"]
        assert (cookie["samesite"], cookie["path"]) == ("None", "/api")

    async def test_cookie__kept(self, serve, browser):
        """A browser with a cookie keeps it."""
        serve(authentication="anonymous")
        await browser.ask("GET", "/info")
        first = browser.client.cookies[ANONYMOUS_COOKIE].value

        answer = await browser.ask("GET", "/info")

        assert browser.client.cookies[ANONYMOUS_COOKIE].value == first
        assert ANONYMOUS_COOKIE not in answer.headers.get("Set-Cookie", "")

    async def test_scope__same_browser(self, serve, browser):
        """A browser finds its own threads again."""
        serve(authentication="anonymous")
        await browser.ask("GET", "/info")
        await browser.run(run_input("mine"))

        assert text_of((await browser.connect(run_input())).events) == "mine"

    async def test_scope__two_browsers(self, serve, browser, other_browser):
        """Two browsers know nothing of each other's threads."""
        serve(authentication="anonymous")
        for each in (browser, other_browser):
            await each.ask("GET", "/info")
        await browser.run(run_input("mine"))

        assert (await other_browser.connect(run_input())).events == []

    @pytest.mark.parametrize(
        "tampered", ["nonsense", "", "someone:signature", lambda value: "x" + value]
    )
    async def test_cookie__tampered(self, serve, browser, other_browser, tampered):
        """A cookie we have not signed is ignored: its browser is a new one."""
        serve(authentication="anonymous")
        await browser.ask("GET", "/info")
        await browser.run(run_input("mine"))
        value = browser.client.cookies[ANONYMOUS_COOKIE].value
        forged = tampered(value) if callable(tampered) else tampered
        other_browser.client.cookies[ANONYMOUS_COOKIE] = forged

        answer = await other_browser.connect(run_input())

        assert answer.events == []
        assert other_browser.client.cookies[ANONYMOUS_COOKIE].value not in (forged, value)

    async def test_cookie__says_nothing_of_the_session(self, serve, browser):
        """The id is of its own making, and the session is not touched for it."""
        serve(authentication="anonymous")

        await browser.ask("GET", "/info")

        assert list(browser.client.cookies) == [ANONYMOUS_COOKIE]


class TestPage:
    def test_decorator__sync_page(self):
        """The page with the chat gives a new browser its cookie before any request of the chat."""

        @anonymous_visitor
        def page(request):
            return HttpResponse("page")

        response = page(RequestFactory().get("/"))

        assert response.content == b"page"
        assert response.cookies[ANONYMOUS_COOKIE]["httponly"]

    async def test_decorator__async_page(self):
        """Pages may be async."""

        @anonymous_visitor
        async def page(request, number):
            return HttpResponse(f"page {number}")

        response = await page(AsyncRequestFactory().get("/"), number=7)

        assert response.content == b"page 7"
        assert ANONYMOUS_COOKIE in response.cookies

    async def test_decorator__known_browser(self, serve, browser):
        """A browser that has its cookie keeps it, and the endpoint accepts the page's."""

        @anonymous_visitor
        def page(request):
            return HttpResponse("page")

        value = page(RequestFactory().get("/")).cookies[ANONYMOUS_COOKIE].value
        request = RequestFactory().get("/")
        request.COOKIES[ANONYMOUS_COOKIE] = value
        browser.client.cookies[ANONYMOUS_COOKIE] = value
        serve(authentication="anonymous")

        await browser.ask("GET", "/info")

        assert ANONYMOUS_COOKIE not in page(request).cookies
        assert browser.client.cookies[ANONYMOUS_COOKIE].value == value
