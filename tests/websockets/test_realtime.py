"""Live thread lists: joined by token, told what changes, repaired after a drop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import AsyncClient

from copilotkit_django import notices, realtime
from copilotkit_django.consumers import realtime as consumer
from copilotkit_django.consumers import sockets as doors
from copilotkit_django.runners import InMemoryRunner, watch
from copilotkit_django.runners.base import AgentRunner, ThreadRef
from copilotkit_django.runners.database import DatabaseRunner
from tests.acting import Failing, Staged
from tests.integration.site import BASE, Caller
from tests.talk import run_input, until, within

from .phoenix import Page, watched
from .sockets import Talk, Throttle

pytestmark = pytest.mark.django_db(transaction=True)

RUNNERS = {"memory": InMemoryRunner, "database": DatabaseRunner}


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> AgentRunner:
    return RUNNERS[request.param]()


class Visitor:
    """Somebody with a page open: asks over the application itself, which knows its sockets."""

    def __init__(self, application: Any, sockets: Any, name: str = "alice") -> None:
        self.application = application
        self.sockets = sockets
        self.caller = Caller(headers={"x-user": name})
        self.headers = {"x-user": name}

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        from tests.integration.site import Connection

        connection = Connection(
            self.application,
            BASE + path.partition("?")[0],
            b"" if body is None else _json(body),
            method=method,
            headers=self.headers,
        )
        connection.scope["query_string"] = path.partition("?")[2].encode()
        status = await connection.begin()
        return status, _parsed(await connection.finish())

    async def credentials(self) -> tuple[str, str]:
        _, listed = await self.ask("GET", "/threads?agentId=default")
        _, given = await self.ask("POST", "/threads/subscribe", {})
        return listed["joinCode"], given["joinToken"]

    async def page(self, **options: Any) -> Page:
        code, token = await self.credentials()
        page = await self.sockets(Page(self.application, token, **options)).opened()
        await page.join(code)
        await watched(self.application, token)
        return page

    async def run(self, thread: str = "t1", run: str = "r1") -> None:
        await self.caller.run(run_input(thread=thread, run=run))

    async def change(self, method: str, path: str, **fields: Any) -> None:
        status, _ = await self.ask(method, path, {"agentId": "default", **fields})
        assert status == 200


def _json(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


def _parsed(body: bytes) -> Any:
    import json

    return json.loads(body) if body else None


@pytest.fixture
def visitor(site, sockets, runner):
    def visitor(name: str = "alice", **options: Any) -> Visitor:
        return Visitor(site(runner=runner, **options), sockets, name)

    return visitor


async def test_info__says_where_the_socket_is(visitor):
    """With its sockets mounted the endpoint says so, and stays what it was otherwise."""
    _, info = await visitor().ask("GET", "/info")

    assert info["mode"] == "sse"
    assert info["intelligence"] == {"wsUrl": "/ws/copilotkit/realtime"}
    assert info["threadEndpoints"] == {
        "list": True,
        "inspect": True,
        "mutations": True,
        "realtimeMetadata": True,
    }
    assert not {"licenseStatus", "runtimeEntitlements"} & info.keys()


async def test_join__twice_at_once(visitor):
    """Who joins again before the first join is answered is told everything once."""
    alice = visitor()
    throttle = Throttle(alice.application)
    code, token = await alice.credentials()
    page = await alice.sockets(Page(throttle, token)).opened()
    throttle.reading.clear()
    for number in ("1", "2", "3"):
        await page.say([number, number, f"user_meta:{code}", "phx_join", {}])
    await until(lambda: throttle.heard == 4)
    throttle.reading.set()
    await watched(alice.application, token)

    await alice.run()

    told = [await page.hear()]
    while told[-1][4].get("eventType") != "RUN_FINISHED":
        told.append(await page.hear())
    assert {join for join, *_, event, _ in told if event != "phx_reply"} == {"3"}


async def test_info__to_an_origin_that_is_none(visitor):
    """An origin that cannot be read is that of no page of this host."""
    alice = visitor()
    alice.headers["origin"] = "http://["

    status, info = await alice.ask("GET", "/info")

    assert status == 200
    assert info["intelligence"] == {"wsUrl": "ws://testserver/ws/copilotkit/realtime"}


async def test_info__to_a_page_of_another_origin(visitor):
    """A page elsewhere would take a path for one of its own, and is told the whole URL."""
    alice = visitor(allowed_origins=["https://app.example"])
    alice.headers["origin"] = "https://app.example"

    _, info = await alice.ask("GET", "/info")

    assert info["intelligence"] == {"wsUrl": "ws://testserver/ws/copilotkit/realtime"}


async def test_info__without_sockets(site):
    """Where nobody serves the sockets nobody is told of any, and subscribing is refused."""
    site()
    alice = Caller(headers={"x-user": "alice"})

    info = (await alice.ask("GET", "/info")).data
    listed = (await alice.ask("GET", "/threads")).data
    subscribed = await alice.ask("POST", "/threads/subscribe", {})

    assert "intelligence" not in info
    assert info["threadEndpoints"]["realtimeMetadata"] is False
    assert "joinCode" not in listed
    assert subscribed.status == 422


@pytest.mark.parametrize("url", ["", "/live", "wss://live.example/x"])
async def test_info__where_the_settings_say(site, url):
    """REALTIME_URL names where they are, or that they are nowhere."""
    site(realtime_url=url)

    info = (await Caller(headers={"x-user": "alice"}).ask("GET", "/info")).data

    assert info.get("intelligence", {}).get("wsUrl", "") == url


async def test_run__appears_and_is_told_of(visitor):
    """A thread appears when its first run begins; that it runs, and has run, is told too."""
    staged = Staged()
    alice = visitor(agents={"default": staged})
    page = await alice.page()

    running = asyncio.create_task(alice.run())
    created = await page.told_until("created")
    began = await page.told("thread_run_activity")
    staged.cue.set()
    await within(running)
    updated = await page.told_until("updated")
    ended = await page.told("thread_run_activity")

    assert created["threadId"] == created["thread"]["id"] == "t1"
    assert created["thread"]["agentId"] == "default"
    assert created["thread"]["createdAt"].endswith("Z")
    assert began == {
        "threadId": "t1",
        "agentId": "default",
        "runId": "r1",
        "eventType": "RUN_STARTED",
    }
    assert updated["thread"]["id"] == "t1"
    assert ended["eventType"] == "RUN_FINISHED"


async def test_changes__of_each_kind(visitor):
    """Renaming, archiving, restoring and deleting are told, each by its name."""
    alice = visitor()
    await alice.run()
    page = await alice.page()

    await alice.change("PATCH", "/threads/t1", name="Plans")
    renamed = await page.told_until("renamed")
    await alice.change("POST", "/threads/t1/archive")
    archived = await page.told_until("archived")
    await alice.change("PATCH", "/threads/t1", archived=False)
    restored = await page.told_until("unarchived")
    await alice.change("DELETE", "/threads/t1")
    deleted = await page.told_until("deleted")

    assert renamed["thread"]["name"] == "Plans"
    assert archived["thread"]["archived"] is True
    assert restored["thread"]["archived"] is False
    assert deleted == {
        "operation": "deleted",
        "threadId": "t1",
        "userId": "",
        "organizationId": "",
        "occurredAt": deleted["occurredAt"],
        "deleted": {"id": "t1"},
    }


async def test_clear__deletes_every_row(visitor):
    """Clearing the list is told thread by thread."""
    alice = visitor()
    await alice.run("t1")
    await alice.run("t2", "r2")
    page = await alice.page()

    await alice.ask("POST", "/threads/clear")

    gone = {(await page.told_until("deleted"))["threadId"] for _ in range(2)}
    assert gone == {"t1", "t2"}


async def test_run__that_failed_at_once(visitor):
    """A thread whose first run had nothing to say disappears again."""
    alice = visitor(agents={"default": Failing(0, ValueError("no"))})
    page = await alice.page()

    await alice.run()

    assert (await page.told_until("deleted"))["threadId"] == "t1"


async def test_run__that_failed(visitor):
    """A run that ends with an error is told as one."""
    alice = visitor(agents={"default": Failing(2, ValueError("no"))})
    page = await alice.page()

    await alice.run()

    assert (await page.told_until("RUN_ERROR", "thread_run_activity"))["runId"] == "r1"


async def test_others__are_told_nothing(visitor, sockets):
    """What happens in one scope is told in no other."""
    alice = visitor()
    bob = Visitor(alice.application, sockets, "bob")
    page = await bob.page()
    own = await alice.page()

    await alice.run()

    assert (await own.told())["threadId"] == "t1"
    assert await page.receive_nothing(0.2)


async def test_merge__moves_rows_between_lists(visitor, runner, sockets):
    """Threads that change hands leave the list of the one scope and come into that of the other."""
    alice = visitor()
    bob = Visitor(alice.application, sockets, "bob")
    await alice.run()
    hers, his = await alice.page(), await bob.page()

    await runner.threads.move("user:alice", "user:bob")

    assert (await hers.told_until("deleted"))["threadId"] == "t1"
    assert (await his.told())["thread"]["id"] == "t1"


async def test_join__again_after_a_drop(visitor, sockets, monkeypatch):
    """Whoever joins again with the same token is told what they have missed."""
    monkeypatch.setattr(consumer, "FIRST_JOIN_SECONDS", 0.0)
    alice = visitor()
    await alice.run("kept")
    await alice.run("dropped", "r2")
    code, token = await alice.credentials()
    first = await sockets(Page(alice.application, token)).opened()
    await first.join(code)
    await first.leave()

    await alice.change("PATCH", "/threads/kept", name="Kept")
    await alice.change("DELETE", "/threads/dropped")
    await alice.run("new", "r3")
    again = await sockets(Page(alice.application, token)).opened()
    await again.join(code)

    assert (await again.told_until("deleted"))["threadId"] == "dropped"
    changed = {}
    while len(changed) < 2:
        payload = await again.told()
        changed[payload["threadId"]] = payload["thread"]["name"]
    assert changed == {"kept": "Kept", "new": None}
    assert (await again.told("thread_run_activity"))["runId"] == "r3"


async def test_notice__that_got_lost(visitor, runner, monkeypatch):
    """Without any notice a change is found by looking."""
    monkeypatch.setattr(watch, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.05)
    alice = visitor()
    await alice.run()
    page = await alice.page()
    monkeypatch.setattr(notices.thread_changes, "tell", lambda news: None)

    await runner.threads.update(ThreadRef("user:alice", "t1"), name="Quiet")

    while (await page.told())["thread"]["name"] != "Quiet":
        pass


async def test_store__that_is_away(visitor, runner, monkeypatch):
    """A store that cannot be asked for a while costs nothing but time."""
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    alice = visitor()
    await alice.run()
    page = await alice.page()
    changes, failed = runner.threads.changes, []

    async def failing(since):
        if len(failed) < 3:
            failed.append(since)
            raise watch.StoreDown
        return await changes(since)

    monkeypatch.setattr(runner.threads, "changes", failing)
    await alice.change("PATCH", "/threads/t1", name="Late")

    while (await page.told())["thread"]["name"] != "Late":
        pass
    assert len(failed) == 3


class TestProtocol:
    async def test_heartbeat(self, visitor):
        """A heartbeat is answered, before a join as well."""
        alice = visitor()
        _, token = await alice.credentials()
        page = await alice.sockets(Page(alice.application, token)).opened()

        await page.say([None, "3", "phoenix", "heartbeat", {}])

        assert await page.hear() == [
            None,
            "3",
            "phoenix",
            "phx_reply",
            {"status": "ok", "response": {}},
        ]

    async def test_leave(self, visitor):
        """Whoever leaves is told nothing more."""
        alice = visitor()
        code, token = await alice.credentials()
        page = await alice.sockets(Page(alice.application, token)).opened()
        await page.join(code)

        answer = await page.ask(f"user_meta:{code}", "phx_leave")
        closed = await page.hear()
        await alice.run()

        assert answer["status"] == "ok"
        assert closed[3] == "phx_close"
        assert await page.receive_nothing(0.1)

    @pytest.mark.parametrize(
        "topic", ["user_meta:other", "user_meta:memories:{code}", "thread:t1", ""]
    )
    async def test_join__another_topic(self, visitor, topic):
        """A token joins its own topic and no other."""
        alice = visitor()
        code, token = await alice.credentials()
        page = await alice.sockets(Page(alice.application, token)).opened()

        answer = await page.ask(topic.format(code=code), "phx_join")

        assert answer == {"status": "error", "response": {"reason": "unauthorized"}}

    async def test_join__the_topic_of_somebody_else(self, visitor, sockets):
        """Knowing another's code is not enough."""
        alice = visitor()
        code, _ = await alice.credentials()
        bob = Visitor(alice.application, sockets, "bob")
        _, token = await bob.credentials()
        page = await sockets(Page(alice.application, token)).opened()

        answer = await page.ask(f"user_meta:{code}", "phx_join")

        assert answer["status"] == "error"

    async def test_events__that_nobody_knows(self, visitor):
        """Other events are answered with an error, and the socket goes on."""
        alice = visitor()
        page = await alice.page()
        code, _ = await alice.credentials()

        assert (await page.ask(f"user_meta:{code}", "stop_run"))["status"] == "error"
        assert (await page.ask("phoenix", "dance"))["status"] == "error"
        assert (await page.ask("thread:x", "ag_ui_event"))["status"] == "error"

    @pytest.mark.parametrize(
        "frame", [b"\x00", "{}", "[]", "no", '["1","2","t","e"]', '[1,"2","t","e",{}]', "[" * 999]
    )
    async def test_frames__that_are_none(self, visitor, frame):
        """What is no message of the protocol closes the socket with a code."""
        page = await visitor().page()

        await page.say(frame)

        assert await page.close_code() == 4400

    async def test_silence(self, visitor, monkeypatch):
        """A page that beats no more is closed."""
        monkeypatch.setattr(doors, "RECHECK_SECONDS", 0.05)
        page = await visitor().page()

        monkeypatch.setattr(consumer, "SILENT_SECONDS", 0.01)

        assert await page.close_code() == 4401


class TestTokens:
    @pytest.mark.parametrize("token", ["", "x", "gAAAA", "ü", "a" * 9000])
    async def test_token__that_is_none(self, visitor, token):
        """A made-up token is refused with the handshake."""
        alice = visitor()

        assert not await alice.sockets(Page(alice.application, token)).shake()

    async def test_token__of_another_key(self, visitor, settings):
        """A token sealed with another key is none; one of a key that was just replaced is."""
        alice = visitor()
        _, token = await alice.credentials()
        old = settings.SECRET_KEY
        settings.SECRET_KEY = "another-key-" * 5
        assert not await alice.sockets(Page(alice.application, token)).shake()

        settings.SECRET_KEY_FALLBACKS = [old]

        assert await alice.sockets(Page(alice.application, token)).shake()

    async def test_token__from_a_foreign_page(self, visitor):
        """A page of another site cannot open the socket, even with a token."""
        alice = visitor()
        _, token = await alice.credentials()
        page = Page(alice.application, token, origin="http://evil.example")

        assert not await alice.sockets(page).shake()

    async def test_token__without_an_origin(self, visitor):
        """A program that is no page may."""
        alice = visitor()
        _, token = await alice.credentials()

        assert await alice.sockets(Page(alice.application, token, origin=None)).shake()

    async def test_token__too_old(self, visitor, monkeypatch):
        """A token that is too old is good only for whom the handshake shows to be the same."""
        alice = visitor(realtime_token_seconds=3600)
        bob = {"x-user": "bob"}
        with monkeypatch.context() as patch:
            patch.setattr(realtime.time, "time", lambda: 1e9)
            _, token = await alice.credentials()

        assert not await alice.sockets(Page(alice.application, token)).shake()
        assert not await alice.sockets(Page(alice.application, token, headers=bob)).shake()
        assert await alice.sockets(Page(alice.application, token, headers=alice.headers)).shake()

    async def test_token__holds_no_secret_to_read(self, visitor):
        """What stands in URLs and logs says nothing of whose it is."""
        alice = visitor()
        code, token = await alice.credentials()

        assert "alice" not in token
        assert "alice" not in code
        assert realtime.read_token(token).scope == "user:alice"
        assert time.time() - realtime.read_token(token).issued < 60

    async def test_token__of_a_visitor_nobody_knows(self, site, sockets):
        """A browser without our cookie gets neither code nor token."""
        stranger = Visitor(site(authentication="anonymous"), sockets)

        _, listed = await stranger.ask("GET", "/threads")
        status, _ = await stranger.ask("POST", "/threads/subscribe", {})

        assert "joinCode" not in listed
        assert status == 401


class TestSessions:
    @pytest.fixture
    async def anna(self, site, sockets):
        user = await get_user_model().objects.acreate_user("anna", password="secret")
        client = AsyncClient()
        await client.aforce_login(user)
        visitor = Visitor(site(authentication="session"), sockets)
        cookies = "; ".join(f"{k}={m.value}" for k, m in client.cookies.items())
        visitor.headers = {"cookie": cookies, "origin": "http://testserver"}
        visitor.user, visitor.client = user, client
        return visitor

    async def test_session__joins_without_cookies(self, anna):
        """The token stands for the session."""
        await anna.page()

    async def test_session__on_a_site_of_another_name(self, anna, settings):
        """A site that answers to its own name only lets its users in."""
        _, token = await anna.credentials()
        settings.ALLOWED_HOSTS = ["mysite.example"]
        options = {"headers": {"host": "mysite.example"}, "origin": "http://mysite.example"}

        assert await anna.sockets(Page(anna.application, token, **options)).shake()

    async def test_logout__closes_and_kills_the_token(self, anna):
        """After logout the socket is closed, and the token opens nothing any more."""
        code, token = await anna.credentials()
        page = await (await anna.sockets(Page(anna.application, token)).opened()).join(code)

        await anna.client.alogout()

        assert await page.close_code() == 4401
        assert not await anna.sockets(Page(anna.application, token)).shake()

    async def test_password__kills_the_token(self, anna, monkeypatch):
        """With a new password an open socket is closed by the next check, and none opened."""
        monkeypatch.setattr(doors, "RECHECK_SECONDS", 0.05)
        code, token = await anna.credentials()
        page = await (await anna.sockets(Page(anna.application, token)).opened()).join(code)

        anna.user.set_password("another")
        await anna.user.asave()

        assert await page.close_code() == 4401
        assert not await anna.sockets(Page(anna.application, token)).shake()

    async def test_check__while_the_database_is_away(self, anna, monkeypatch, caplog):
        """A check that cannot be made closes no socket; the next one can."""
        monkeypatch.setattr(doors, "RECHECK_SECONDS", 0.02)
        code, token = await anna.credentials()
        page = await (await anna.sockets(Page(anna.application, token)).opened()).join(code)
        asked = asyncio.Queue()

        async def fails(grant):
            asked.put_nowait(grant)
            raise OperationalError("away")

        with monkeypatch.context() as patch:
            patch.setattr(consumer, "still_holds", fails)
            for _ in range(3):
                await within(asked.get(), 5)
            assert (await page.ask("phoenix", "heartbeat"))["status"] == "ok"

        anna.user.set_password("another")
        await anna.user.asave()

        assert await page.close_code() == 4401
        assert not [each for each in caplog.records if each.exc_info]

    async def test_user__known_without_a_session(self, site, sockets):
        """Of a user that a callable has named, the password and being active count."""
        user = await get_user_model().objects.acreate_user("ben", password="secret")

        async def by_token(request):
            return await get_user_model().objects.filter(username="ben").afirst()

        ben = Visitor(site(authentication=by_token), sockets)
        code, token = await ben.credentials()
        assert await ben.sockets(Page(ben.application, token)).shake()

        user.is_active = False
        await user.asave()

        assert not await ben.sockets(Page(ben.application, token)).shake()
        assert code


async def test_connect_socket__takes_no_realtime_token(visitor):
    """The tokens of one socket are nothing to the other."""
    alice = visitor()
    _, token = await alice.credentials()

    socket = alice.sockets(Talk(alice.application, query={"ticket": token}))

    assert await socket.shake()
    assert await socket.close_code() == 4401
