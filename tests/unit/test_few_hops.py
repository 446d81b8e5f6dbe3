"""Joined middleware does what Django's own chain does."""

from __future__ import annotations

import asyncio
import threading
from itertools import product

import pytest
from asgiref.sync import ThreadSensitiveContext, iscoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse
from django.test import AsyncRequestFactory
from django.utils.deprecation import MiddlewareMixin
from django.views.decorators.csrf import csrf_exempt

from copilotkit_django.few_hops import FewHopsHandler, in_few_hops

#: What the middleware of a test stack do, outermost first; set by the test.
BEHAVIOUR = {}


def middleware(name):
    """A synchronous middleware that writes down its calls and does what the test says."""

    class Middleware(MiddlewareMixin):
        def process_request(self, request):
            request.trace.append(f"{name} in")
            request.threads.add(threading.get_ident())
            return act(BEHAVIOUR.get(f"{name} in"))

        def process_response(self, request, response):
            request.trace.append(f"{name} out {response.status_code}")
            return act(BEHAVIOUR.get(f"{name} out")) or response

    return Middleware


def act(what):
    if what == "raise":
        raise ValueError("on purpose")
    if what == "answer":
        return HttpResponse(status=299)
    return None


class Around:
    """An asynchronous middleware written out, as django-cors-headers is."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response):
        assert iscoroutinefunction(get_response)
        self.get_response = get_response
        self._is_coroutine = asyncio.coroutines._is_coroutine

    async def __call__(self, request):
        request.trace.append("around in")
        response = await self.get_response(request)
        request.trace.append("around out")
        return response


first, second, third = middleware("first"), middleware("second"), middleware("third")


async def view(request):
    request.trace.append("view")
    return act(BEHAVIOUR.get("view")) or HttpResponse()


async def plain(request):
    return HttpResponse()


class Urls:
    from django.urls import path

    urlpatterns = (path("", view), path("checked", plain), path("exempt", csrf_exempt(plain)))


async def answered(stack, settings, *, joined):
    settings.MIDDLEWARE = [f"{__name__}.{name}" for name in stack]
    settings.ROOT_URLCONF = Urls
    handler = ASGIHandler()
    chain = in_few_hops(handler._middleware_chain) if joined else handler._middleware_chain
    request = AsyncRequestFactory().get("/")
    request.trace, request.threads = [], set()
    async with asyncio.timeout(10), ThreadSensitiveContext():
        response = await chain(request)
    return request.trace, response.status_code, len(request.threads)


PLACES = ("first in", "second in", "third in", "view", "first out", "second out", "third out")


@pytest.mark.parametrize("stack", [("first", "second", "third"), ("first", "Around", "third")])
@pytest.mark.parametrize(("place", "what"), [*product(PLACES, ("raise", "answer"))])
async def test_joined__same_as_django(settings, monkeypatch, stack, place, what):
    """Order, early answers and failures are those of Django's chain, whoever causes them."""
    monkeypatch.setitem(BEHAVIOUR, place, what)
    settings.DEBUG_PROPAGATE_EXCEPTIONS = False

    assert await answered(stack, settings, joined=True) == await answered(
        stack, settings, joined=False
    )


@pytest.fixture
async def hops(monkeypatch):
    """The calls that were made on other threads."""
    made = []
    run = asyncio.get_running_loop().run_in_executor
    monkeypatch.setattr(
        asyncio.get_running_loop(),
        "run_in_executor",
        lambda *arguments: made.append(arguments) or run(*arguments),
    )
    return made


async def test_joined__hops(settings, hops):
    """Neighbours take one hop inwards and one outwards, however many they are."""
    await answered(("first", "second", "third"), settings, joined=True)

    assert len(hops) == 2


@pytest.mark.parametrize(("path", "status", "count"), [("exempt", 200, 2), ("checked", 403, 3)])
async def test_csrf(settings, hops, path, status, count):
    """Views that are exempt are not checked, which takes no hop; others are."""
    settings.MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]
    settings.ROOT_URLCONF = Urls
    request = AsyncRequestFactory().post(f"/{path}")

    async with ThreadSensitiveContext():
        response = await FewHopsHandler()._middleware_chain(request)

    assert (response.status_code, len(hops)) == (status, count)
