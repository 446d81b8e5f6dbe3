"""RATE_LIMITS at the door: who is counted, what is answered, and that nothing waits for it."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import django_ratelimit.core
import pytest
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.test import AsyncClient

from copilotkit_django.checks import check_deployment, check_settings
from tests.acting import Staged
from tests.talk import run_input

from .site import BASE, Caller, read

#: What our own pages send: with a cookie the origin counts.
PAGE = {"origin": "http://testserver"}


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def _standing_clock(monkeypatch):
    """No window ends in the middle of a test."""
    monkeypatch.setattr(django_ratelimit.core, "time", SimpleNamespace(time=lambda: 2_000_000_000))


def runs(count: int, caller: Caller, **headers: str) -> Any:
    """As many runs at once, each on its own thread; their statuses."""

    async def one(number: int) -> int:
        wire = run_input(thread=f"t{number}", run=f"r{number}")
        return (await caller.run(wire, **headers)).status

    async def statuses() -> list[int]:
        return sorted(await asyncio.gather(*map(one, range(count))))

    return statuses()


async def test_run__too_often(serve, alice):
    """The answer says when to come back."""
    serve(rate_limits={"run": "2/m"})

    assert await runs(2, alice) == [200, 200]
    answer = await alice.run(run_input())

    assert answer.status == 429
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 60
    unit = "second" if seconds == 1 else "seconds"
    assert answer.data == {
        "error": "rate_limited",
        "message": f"Too many requests. Try again in {seconds} {unit}.",
    }


async def test_run__at_once(serve, alice):
    """Of many at once exactly as many get through as may."""
    serve(rate_limits={"run": "3/h"})

    assert await runs(10, alice) == [200] * 3 + [429] * 7


async def test_run__by_owner(serve, alice, bob):
    """Everybody has a count of their own."""
    serve(rate_limits={"run": "1/h"})

    assert await runs(2, alice) == [200, 429]
    assert await runs(2, bob) == [200, 429]


async def test_run__by_user_of_a_scope(serve):
    """Members of a team that shares its threads are counted one by one."""

    def member(request):
        pk = int(request.headers["x-member"])
        return SimpleNamespace(pk=pk, is_authenticated=True), "team:1"

    serve(authentication=member, rate_limits={"run": "1/h"})

    assert await runs(2, Caller(), x_member="1") == [200, 429]
    assert await runs(1, Caller(), x_member="2") == [200]


async def test_run__single_route(serve, alice):
    """The envelope is no way around."""
    serve(rate_limits={"run": "1/h"})
    envelope = {"method": "agent/run", "params": {"agentId": "default"}, "body": run_input()}

    assert (await alice.run(run_input())).status == 200
    assert (await alice.ask("POST", "", envelope)).status == 429


async def test_run__body_not_read(serve, alice):
    """A request that is one too many is not looked at."""
    serve(rate_limits={"run": "0/h"})

    assert (await alice.ask("POST", "/agent/default/run", b"{")).status == 429


@pytest.mark.parametrize(
    ("name", "method", "path", "usual"),
    [
        ("suggest", "POST", "/agent/default/suggest", 200),
        ("connect", "POST", "/agent/default/connect", 200),
        ("stop", "POST", "/agent/default/stop/t1", 400),
        ("transcribe", "POST", "/transcribe", 503),
        ("info", "GET", "/info", 200),
        ("threads", "GET", "/threads", 200),
        ("threads", "GET", "/threads/t1/messages", 200),
    ],
)
async def test_operation__each_by_its_name(serve, alice, name, method, path, usual):
    """Each operation has a limit of its own, and the others go on."""
    body = run_input() if method == "POST" else None
    serve(rate_limits={name: "1/h"})

    assert (await alice.ask(method, path, body)).status == usual
    assert (await alice.ask(method, path, body)).status == 429
    assert (await alice.run(run_input())).status == 200


async def test_limits__several(serve, alice, bob):
    """Of several limits each has to be kept."""
    serve(rate_limits={"run": ["2/h", {"rate": "3/h", "key": "ip"}]})

    assert await runs(3, alice) == [200, 200, 429]
    assert await runs(3, bob) == [200, 429, 429]


async def test_limits__callable(serve, alice, bob):
    """A rate may depend on who asks, and there may be none."""

    def rate(group, request):
        assert group == "copilotkit.run"
        assert threading.current_thread() is not threading.main_thread()
        return None if request.headers["x-user"] == "bob" else "1/h"

    serve(rate_limits={"run": rate})

    assert await runs(2, alice) == [200, 429]
    assert await runs(5, bob) == [200] * 5


async def test_key__callable(serve, alice):
    """So may the key."""

    def key(group, request):
        return request.headers["x-room"]

    serve(rate_limits={"run": {"rate": "1/h", "key": key}})

    assert await runs(2, alice, x_room="1") == [200, 429]
    assert await runs(1, alice, x_room="2") == [200]


async def test_visitor__without_a_cookie(serve):
    """A browser that drops its cookie is known by its address; one that shows it, by that."""
    serve(authentication="anonymous", rate_limits={"run": "1/h"})
    known = Caller(headers=PAGE)
    await known.ask("GET", "/info")

    assert await runs(1, Caller()) == [200]
    assert await runs(1, Caller()) == [429]
    assert await runs(2, known) == [200, 429]


async def test_visitor__forged_cookie(serve):
    """A cookie that is not signed by us is none."""
    serve(authentication="anonymous", rate_limits={"run": "1/h"})

    statuses = []
    for name in ("a", "b"):
        client = AsyncClient()
        client.cookies["copilotkit_anonymous"] = f"{name}:forged"
        statuses += await runs(1, Caller(headers=PAGE, client=client))

    assert statuses == [200, 429]


async def test_shared_scope__by_address(serve):
    """Where all share one scope it is the address that counts."""
    serve(authentication="anonymous-shared", rate_limits={"run": "1/h"})

    assert await runs(2, Caller()) == [200, 429]


async def test_address__unknown(serve, settings):
    """Behind a socket file callers without a name are counted together, not refused."""
    serve(authentication="anonymous-shared", rate_limits={"info": "1/h"})

    async def status() -> int:
        response = await AsyncClient().get(f"{BASE}/info", REMOTE_ADDR="")
        return response.status_code

    assert [await status(), await status()] == [200, 429]


@pytest.mark.parametrize(("is_open", "status"), [(False, 429), (True, 200)])
async def test_cache__down(serve, alice, settings, monkeypatch, caplog, is_open, status):
    """Without counters nobody gets in, unless the project wants it otherwise. It is logged."""

    def add(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("the cache is gone")

    monkeypatch.setattr(LocMemCache, "add", add)
    settings.RATELIMIT_FAIL_OPEN = is_open
    serve(rate_limits={"run": "1/h"})

    assert (await alice.run(run_input())).status == status
    assert "the cache is gone" in caplog.text


async def test_cache__slow(serve, alice, bob, monkeypatch):
    """A cache that takes its time holds up the request that asked, and no stream."""
    asked, go_on = threading.Event(), threading.Event()
    add = LocMemCache.add

    def slow(self: Any, *arguments: Any, **options: Any) -> Any:
        asked.set()
        assert go_on.wait(5)
        return add(self, *arguments, **options)

    agent = Staged()
    serve(agents={"default": agent}, rate_limits={"stop": "5/h"})
    live = await alice.open("POST", "/agent/default/run", run_input())
    monkeypatch.setattr(LocMemCache, "add", slow)
    stopping = asyncio.create_task(alice.ask("POST", "/agent/default/stop/t9"))
    try:
        assert await asyncio.to_thread(asked.wait, 5)
        agent.cue.set()
        assert (await read(live)).events[-1]["type"] == "RUN_FINISHED"
    finally:
        go_on.set()
    assert (await stopping).status == 200


async def test_limits__switched_off(serve, alice, settings):
    """django-ratelimit's own switch works."""
    settings.RATELIMIT_ENABLE = False
    serve(rate_limits={"run": "0/h"})

    assert (await alice.run(run_input())).status == 200


async def test_limits__none(serve, alice, monkeypatch):
    """Without limits no counter is asked."""
    monkeypatch.setattr("copilotkit_django.ratelimit.get_usage", None)
    serve(rate_limits={"connect": "1/h"})

    assert (await alice.run(run_input())).status == 200


def test_checks__wrong_limits(settings):
    """Misspelt operations and rates are errors of `check`."""
    settings.COPILOTKIT = {**settings.COPILOTKIT, "RATE_LIMITS": {"runs": "30/m"}}

    (message,) = check_settings()

    assert message.id == "copilotkit.E003"
    assert "Did you mean 'run'?" in message.msg


REDIS = "django.core.cache.backends.redis.RedisCache"
LOCAL = "django.core.cache.backends.locmem.LocMemCache"


@pytest.mark.parametrize(
    ("caches", "alias", "warned"),
    [
        ({"default": {"BACKEND": LOCAL}}, "default", True),
        ({"default": {"BACKEND": REDIS}}, "default", False),
        ({"default": {"BACKEND": LOCAL}, "counts": {"BACKEND": REDIS}}, "counts", False),
    ],
)
def test_checks__cache_of_one_process(settings, caches, alias, warned):
    """A cache that processes do not share counts for each of them."""
    settings.CACHES = caches
    settings.RATELIMIT_USE_CACHE = alias
    settings.COPILOTKIT = {**settings.COPILOTKIT, "RATE_LIMITS": {"run": "30/m"}}

    ids = [message.id for message in check_deployment()]

    assert ("copilotkit.W012" in ids) is warned
