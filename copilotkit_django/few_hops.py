"""Django's middleware in two hops to a thread, instead of two for each middleware.

Django runs each hook of a synchronous middleware in a hop of its own, from the event loop to a
thread and back, and a stock project makes fourteen of them per request; they cost more than the
rest of a short run. Here the hooks of neighbours are called one after the other within one hop, on
the same thread, in the same order and with the same treatment of errors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response, response_for_exception
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.deprecation import MiddlewareMixin

#: A middleware chain, or the rest of one.
Chain = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class FewHopsHandler(ASGIHandler):
    """Django's handler with the hooks of its middleware joined into few hops."""

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async)
        chain: Any = self._middleware_chain  # type: ignore[has-type]
        self._middleware_chain = in_few_hops(chain)

    def adapt_method_mode(
        self, is_async: bool, method: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        adapted: Any = super().adapt_method_mode(is_async, method, *args, **options)
        is_csrf = getattr(method, "__func__", None) is CsrfViewMiddleware.process_view
        return _unless_exempt(adapted) if is_async and is_csrf else adapted


def _unless_exempt(check: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The check of Django's CSRF middleware, without a hop for views it does not look at."""

    async def process_view(request: HttpRequest, view: Any, *arguments: Any) -> Any:
        if getattr(view, "csrf_exempt", False):
            return None
        return await check(request, view, *arguments)

    return process_view


def in_few_hops(chain: Chain) -> Chain:
    """The same middleware chain with the hooks of neighbours in one hop.

    Only middleware that leaves calling its hooks to Django's ``MiddlewareMixin`` is joined; any
    other keeps its place, and what follows it is joined anew. The middleware objects of ``chain``
    are used, and changed.
    """
    neighbours = []
    rest = chain
    while (middleware := _plain(rest)) is not None:
        neighbours.append(middleware)
        rest = middleware.get_response
    around: Any = getattr(rest, "__wrapped__", None)
    if hasattr(around, "get_response") and not isinstance(around, MiddlewareMixin):
        around.get_response = in_few_hops(around.get_response)
        rest = cast("Chain", convert_exception_to_response(around))
    return _joined(neighbours, rest) if neighbours else rest


def _plain(chain: Any) -> Any:
    """The middleware at the head of a chain if Django calls its hooks for it."""
    middleware = getattr(chain, "__wrapped__", None)
    if isinstance(middleware, MiddlewareMixin):
        kind = type(middleware)
        if (
            kind.__acall__ is MiddlewareMixin.__acall__
            and kind.__call__ is MiddlewareMixin.__call__
            and middleware.async_mode
        ):
            return middleware
    return None


def _joined(neighbours: Sequence[Any], rest: Chain) -> Chain:
    requests = [
        (place, middleware.process_request)
        for place, middleware in enumerate(neighbours)
        if hasattr(middleware, "process_request")
    ]
    responses = [
        (place, middleware.process_response)
        for place, middleware in reversed(list(enumerate(neighbours)))
        if hasattr(middleware, "process_response")
    ]

    def inwards(request: HttpRequest) -> tuple[HttpResponseBase | None, int]:
        """An early answer, if any, and how many of the neighbours see it on its way out."""
        for place, process_request in requests:
            try:
                response = process_request(request)
            except Exception as error:
                # The one that failed does not see the answer to its failure.
                return response_for_exception(request, error), place
            if response is not None:
                return response, place + 1
        return None, len(neighbours)

    def outwards(request: HttpRequest, response: Any, seen_by: int) -> HttpResponseBase:
        for place, process_response in responses:
            if place < seen_by:
                try:
                    response = process_response(request, response)
                except Exception as error:
                    response = response_for_exception(request, error)
        return response  # type: ignore[no-any-return]

    go_in = sync_to_async(inwards, thread_sensitive=True)
    go_out = sync_to_async(outwards, thread_sensitive=True)

    async def joined(request: HttpRequest) -> HttpResponseBase:
        response, seen_by = await go_in(request)
        if response is None:
            response = await rest(request)
        return await go_out(request, response, seen_by)

    return joined
