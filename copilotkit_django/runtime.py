"""One endpoint: its agents, its runner, its hooks, its settings."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import weakref
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from copilotkit_django.agents.builtin.models import close_models
from copilotkit_django.agents.middleware.stack import MiddlewareStack
from copilotkit_django.agents.registry import AgentRegistry
from copilotkit_django.budgets import budgets_from, callable_from
from copilotkit_django.conf import NAME, Options
from copilotkit_django.debug_feed import DebugFeed
from copilotkit_django.forwarding import HeaderPolicy
from copilotkit_django.hooks import HookChain
from copilotkit_django.operations.call import Endpoint
from copilotkit_django.rates import rates_from
from copilotkit_django.runners.base import AgentRunner, RunPolicy
from copilotkit_django.transcription import TranscriptionService

logger = logging.getLogger("copilotkit.run")


class Runtime:
    """Everything behind one mount point.

    The default runtime is made of the project's ``COPILOTKIT`` setting and served by
    ``include("copilotkit_django.urls")``. Make further ones for further endpoints; options not
    given (the names of the settings, in lower case) are those of the project::

        support = Runtime(agents={"default": SupportAgent()}, authentication="session")
        urlpatterns = [path("api/support", support.urls)]

    A runner given as an instance may be shared by several runtimes: they then see the same threads.
    Raises `ImproperlyConfigured` naming everything wrong with the options.
    """

    def __init__(self, **options: Any) -> None:
        self.options = Options.load(options)
        self.hooks = HookChain(self.options)
        self.header_policy = HeaderPolicy.from_options(self.options.forward_headers)
        self.rates = rates_from(self.options.rate_limits)
        self.endpoint = Endpoint(
            options=self.options,
            agents=AgentRegistry(self.options.agents),
            runner=_runner(self.options),
            policy=RunPolicy(
                supersede=self.options.concurrent_runs == "supersede",
                stop_grace=self.options.stop_grace_seconds,
                idle=self.options.keepalive_seconds or None,
                expose_errors=self.options.exposes_errors,
                max_seconds=self.options.max_run_seconds,
                max_events=self.options.max_events_per_run,
                max_bytes=self.options.max_bytes_per_run,
                thread_names=self.options.thread_names,
            ),
            middleware=MiddlewareStack.from_options(self.options),
            budgets=callable_from(self.options.token_budgets)
            or budgets_from(self.options.token_budgets),
            transcription=_transcription(self.options.transcription_service),
            debug_feed=DebugFeed() if self.options.debug_events else None,
        )

        _runtimes.add(self)

    @property
    def runner(self) -> AgentRunner:
        """Who owns what happens to this endpoint's threads."""
        return self.endpoint.runner

    @property
    def urls(self) -> Any:
        """What ``path("…", runtime.urls)`` takes to mount this endpoint."""
        from copilotkit_django.urls import patterns_for

        return patterns_for(lambda: self), None, None


def _runner(options: Options) -> AgentRunner:
    value = options.runner
    if inspect.isclass(value) and issubclass(value, AgentRunner):
        return value.from_options(options)
    if not isinstance(value, AgentRunner):
        raise ImproperlyConfigured(f"{NAME}['RUNNER'] is {value!r}, which is no AgentRunner.")
    return value


def _transcription(value: Any) -> TranscriptionService | None:
    service = value() if inspect.isclass(value) else value
    if service is not None and not isinstance(service, TranscriptionService):
        raise ImproperlyConfigured(
            f"{NAME}['TRANSCRIPTION_SERVICE'] is {service!r}, which is no TranscriptionService."
        )
    return service


_runtimes: weakref.WeakSet[Runtime] = weakref.WeakSet()


def all_runtimes() -> list[Runtime]:
    """Every runtime of this process that is in use."""
    return list(_runtimes)


async def drain() -> None:
    """The process is about to stop: end all live runs, free their threads, hang up on models."""
    runners = {id(runtime.runner): runtime.runner for runtime in all_runtimes()}.values()
    # One that fails keeps the others from nothing.
    done = await asyncio.gather(*(each.drain() for each in runners), return_exceptions=True)
    for error in done:
        if error is not None:
            logger.error("A runner could not be drained.", exc_info=error)
    await close_models()


@functools.cache
def get_runtime() -> Runtime:
    """The default runtime, made of the project's settings on first use."""
    return Runtime()


def _forget_runtime(*, setting: str, **kwargs: Any) -> None:
    if setting in (NAME, "DEBUG"):
        get_runtime.cache_clear()


setting_changed.connect(_forget_runtime, dispatch_uid="copilotkit.runtime")
