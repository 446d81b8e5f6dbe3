"""Code of the project that sees requests and responses: hooks and request middleware."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from copilotkit_django.agents.base import RunInput
from copilotkit_django.conf import Options
from copilotkit_django.operations.call import read_input
from copilotkit_django.routes import Envelope, Route
from copilotkit_django.workers import call

if TYPE_CHECKING:
    from copilotkit_django.runtime import Runtime


#: Operations that bring a run input.
RUN_METHODS = frozenset({"agent/run", "agent/connect", "agent/suggest"})


class ShortCircuit(Exception):
    """Raise it in a hook, in middleware or in an AUTHENTICATION callable to answer at once."""

    def __init__(self, response: HttpResponseBase) -> None:
        super().__init__("A hook answered the request.")
        self.response = response


@dataclass(slots=True)
class RequestContext:
    """What is known about a request on its way; `copilotkit` gives it.

    ``context`` is a dict of the project's own: what a hook puts there, the agent, later hooks and
    the after middleware find. ``path`` is the full path of the request, percent-encoded as it was
    sent (of a ``resource/request`` envelope: the path it asks for), ``route`` is ``None`` until the
    request is routed.
    """

    runtime: Runtime
    path: str
    user: Any = None
    scope: str = ""
    route: Route | None = None
    context: dict[str, Any] = field(default_factory=dict)
    #: The request as it was routed; what it brings for the operation is in there.
    envelope: Envelope | None = field(default=None, repr=False)


def copilotkit(request: HttpRequest) -> RequestContext:
    """The `RequestContext` of a request that has entered an endpoint of ours.

    Raises `AttributeError` for any other request.
    """
    context: RequestContext = request._copilotkit  # type: ignore[attr-defined]
    return context


def run_input(request: HttpRequest) -> RunInput | None:
    """The run input a request brings, the same for REST paths and the single-route envelope.

    ``None`` if it asks for anything but to run, connect or suggest, or is not routed yet. Raises an
    error of ours if the body is none; let it pass, and the answer is the usual 400.
    """
    envelope = copilotkit(request).envelope
    if envelope is None or envelope.route.method not in RUN_METHODS:
        return None
    return RunInput.from_wire(read_input(envelope.content(request.body)))


def with_headers(request: HttpRequest, headers: Mapping[str, str]) -> HttpRequest:
    """A copy of the request with some headers set; the original is left as it is.

    Return it from ``on_request``, ``on_before_handler`` or the before middleware: header
    forwarding, agents, agent factories and later hooks see the changed headers.
    """
    changed = copy.copy(request)
    changed.META = dict(request.META)
    changed.__dict__.pop("headers", None)
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        changed.META[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return changed


class Hooks:
    """Subclass it, or write any object or mapping with some of these names, for HOOKS.

    Methods may be sync (they run in a thread) or async. Returning a response or raising
    `ShortCircuit` answers the request; returning a request replaces it; anything else carries on.
    """

    def on_request(self, request: HttpRequest) -> Any:
        """First of all, before routing."""

    def on_before_handler(self, request: HttpRequest, route: Route) -> Any:
        """The request is routed and its method fits. Not called for 404 and 405."""

    def on_response(self, request: HttpRequest, response: HttpResponseBase, route: Route) -> Any:
        """There is an answer; return another one to replace it.

        What was answered before routing, and what leads nowhere, comes with a stand-in route named
        ``info``.
        """

    def on_error(self, request: HttpRequest, error: Exception, route: Route | None) -> Any:
        """A hook or a handler raised; return a response in place of the plain 500."""


class compose:
    """One hook or middleware out of several, which are called in order, sync or async.

    A request that one of them returns is what those after it get; for ``on_response`` the same goes
    for the response. Where there is no response yet, one that is returned or raised answers, and
    those after it are not called. Of after middleware all are called, whatever becomes of the
    others.
    """

    # Not a function, so that a class of hooks may hold one without being handed to it.

    def __init__(self, *functions: Callable[..., Any]) -> None:
        self._functions = functions

    async def __call__(self, *arguments: Any) -> Any:
        if not isinstance(arguments[0], HttpRequest):
            await self._call_all(arguments)
            return None
        answered = any(isinstance(argument, HttpResponseBase) for argument in arguments)
        kind = HttpResponseBase if answered else HttpRequest
        latest = None
        for function in self._functions:
            result = await call(function, *arguments)
            if isinstance(result, kind):
                latest = result
                arguments = tuple(
                    result if isinstance(argument, kind) else argument for argument in arguments
                )
            elif isinstance(result, HttpResponseBase):
                return result
        return latest

    async def _call_all(self, arguments: Any) -> None:
        failures = []
        for function in self._functions:
            try:
                await call(function, *arguments)
            except Exception as error:
                failures.append(error)
        if failures:
            raise ExceptionGroup("Some of the composed functions failed.", failures)


def only_for(*methods: str, agent_id: str | None = None) -> Callable[[Any], Any]:
    """Decorate a hook or an after middleware that is about some routes only.

    ``methods`` are names such as ``agent/run`` (none: all of them). Other requests pass it by, and
    so do those that lead nowhere. Before routing there is nothing to tell by: decorated
    ``on_request`` hooks and before middleware raise `TypeError`.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def scoped(*arguments: Any) -> Any:
            route = _route_of(arguments)
            if route is None:
                return None
            if methods and route.method not in methods:
                return None
            if agent_id is not None and route.agent_id != agent_id:
                return None
            return await call(function, *arguments)

        return scoped

    return decorate


def _route_of(arguments: Sequence[Any]) -> Route | None:
    """The route a hook or middleware that was called with these is about."""
    for argument in arguments:
        if isinstance(argument, HttpRequest):
            route = copilotkit(argument).route
            if route is None and argument is arguments[-1]:
                raise TypeError("The route is not known yet: use on_before_handler.")
            return route
    route = getattr(arguments[-1], "route", None)
    return route if isinstance(route, Route) else None


class HookChain:
    """The hooks and middleware of one endpoint, ready to be called."""

    def __init__(self, options: Options) -> None:
        hooks = options.hooks
        if inspect.isclass(hooks):
            hooks = hooks()
        self._hooks: Any = hooks
        self.before_request = options.before_request_middleware
        self.after_request = options.after_request_middleware

    def find(self, name: str) -> Any:
        """The hook of that name, or ``None``."""
        if isinstance(self._hooks, Mapping):
            return self._hooks.get(name)
        return getattr(self._hooks, name, None)

    async def call(self, name: str, *arguments: Any) -> Any:
        """What the hook of that name returns; ``None`` if there is none."""
        hook = self.find(name)
        return None if hook is None else await call(hook, *arguments)
