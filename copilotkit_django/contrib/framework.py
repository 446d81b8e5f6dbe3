"""What every adapter of a framework has in common."""

from __future__ import annotations

import abc
import copy
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from asgiref.sync import sync_to_async

from copilotkit_django.agents.base import Agent, Event, RunContext
from copilotkit_django.agents.builtin.prompt import context_section
from copilotkit_django.contrib.stream import FrameworkError, FrameworkStream
from copilotkit_django.incidents import scrub

if TYPE_CHECKING:
    from ag_ui.core import RunAgentInput

__all__ = [
    "FrameworkAgent",
    "FrameworkError",
    "MissingFramework",
    "ToolFailed",
    "current_run",
    "on_worker_thread",
    "page_context",
    "run_input",
]


class MissingFramework(ImportError):
    """A framework, or a part of it that its adapter needs, is not installed."""


class ToolFailed(Exception):
    """A tool of the project raised. The text may be shown to the model and to the page."""


class FrameworkAgent(Agent):
    """An agent of another framework, run in this process.

    Subclasses implement `stream`. What it yields goes through a `FrameworkStream`; what it is given
    goes by the *key* of the thread in place of the client's thread id, so that two owners who use
    one thread id share no memory of the framework's. The client sees its own ids.

    The generator lives in the task of the run: it is stepped, cancelled and closed there and
    nowhere else. Whatever it started beyond that it must end itself, in a ``finally``.

    ``raw`` lets ``RAW`` events through, which most frameworks send many of.
    ``forward_system_messages`` lets system and developer messages of the client through, which most
    frameworks take for instructions.
    """

    #: What has to be installed: ``copilotkit-django[extra]``.
    extra: ClassVar[str] = ""

    #: Whether a ``MESSAGES_SNAPSHOT`` of this framework may take messages away from the client.
    snapshots_replace: ClassVar[bool] = False

    def __init__(
        self,
        *,
        name: str = "",
        description: str = "",
        raw: bool = False,
        forward_system_messages: bool = False,
    ) -> None:
        self.name = name
        self.description = description
        self.raw = raw
        self.forward_system_messages = forward_system_messages

    @abc.abstractmethod
    def stream(self, context: RunContext) -> AsyncIterator[Event | str]:
        """Yield what the framework says: events as models, mappings, or text of SSE frames.

        ``context.thread_id`` is the key of the thread. Begin and end of the run need not be
        yielded. What is raised ends the run with an error whose text stays on the server.
        """

    async def run(self, context: RunContext) -> AsyncIterator[Event]:
        _current.set(context)
        normal = FrameworkStream(context, raw=self.raw, replace=self.snapshots_replace)
        async with aclosing(cast(Any, self.stream(self._inside(context)))) as events:
            try:
                async for event in events:
                    for wire in normal.feed(event):
                        yield wire
            except FrameworkError:
                # A stop that the framework takes for a failure is none.
                if not context.stop.is_set():
                    raise
                return
        if context.stop.is_set():
            # The framework took the cancellation for an end. It is not one: calls that were not
            # carried out yet are not to be.
            return
        for wire in normal.finish():
            yield wire

    def _inside(self, context: RunContext) -> RunContext:
        """The run as the framework is to know it."""
        messages = context.messages
        if not self.forward_system_messages:
            messages = [m for m in messages if m["role"] not in ("system", "developer")]
        return replace(
            context,
            input=replace(context.input, thread_id=context.thread_key, messages=messages),
        )

    def clone(self) -> Self:
        # Frameworks keep what belongs to a run in objects of their own: see `stream`.
        return self

    @classmethod
    def missing(cls, error: ImportError) -> MissingFramework:
        """What to raise when the framework cannot be imported."""
        return MissingFramework(
            f"{cls.__name__} needs {error.name or error}: "
            f"pip install 'copilotkit-django[{cls.extra}]'",
            name=error.name,
        )


#: Of the task of a run. Frameworks hand it on to the tasks and threads their tools run in.
_current: ContextVar[RunContext] = ContextVar("copilotkit_current_run")


def current_run() -> RunContext:
    """The run whose tool, node or callback is being called: its user, scope, headers, input.

    For code that frameworks call, and that they do not tell who asked. Raises ``LookupError``
    outside of a run.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("No agent of a framework is running here.") from None


def run_input(context: RunContext, /, **changes: Any) -> RunAgentInput:
    """The input of a run as the model of ``ag_ui.core`` that frameworks take.

    ``changes`` are fields of `RunInput` to replace. Content parts of the form official clients sent
    before AG-UI 1.0 are brought to the form of today.
    """
    given = replace(context.input, **changes)
    messages = [_modern(message) for message in given.messages]
    # Frameworks write into what the model takes over as it is.
    state, props = copy.deepcopy((given.state, given.forwarded_props))
    return replace(given, messages=messages, state=state, forwarded_props=props).to_model()


def page_context(context: RunContext) -> str:
    """What the page says about itself, for the prompt of a framework that ignores it.

    It is fenced and named as data, so that words in it are not taken for instructions, and cut
    where it is too long. Empty if the page says nothing.
    """
    entries = context.input.context
    return context_section(entries) if entries else ""


def _modern(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list) or all(part.get("type") != "binary" for part in content):
        return message
    parts = (_part(part) if part.get("type") == "binary" else part for part in content)
    return {**message, "content": [part for part in parts if part is not None]}


def _part(part: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = part["mimeType"]
    family = kind.partition("/")[0]
    for key, source in (("data", "data"), ("url", "url")):
        if part.get(key):
            return {
                "type": family if family in ("image", "audio", "video") else "document",
                "source": {"type": source, "value": part[key], "mimeType": kind},
            }
    # Known by an id only, which means nothing here.
    return None


def on_worker_thread(
    function: Callable[..., Any],
    *,
    scrub_errors: bool = False,
    passing: tuple[type[Exception], ...] = (),
) -> Callable[..., Any]:
    """A synchronous tool as a coroutine function that may use the database.

    It runs on the worker thread of its run, so it blocks nobody, calls of one run come one after
    the other, and connections are tidied up when the run is over. Name, docstring and signature
    stay, so frameworks read the same schema. A coroutine function runs where it ran before.

    ``scrub_errors`` is for frameworks that show the model, and with it the page, what a tool
    raises: it raises a sentence of ours instead, whose incident is in the log. What a framework
    wants tools to raise is ``passing``.
    """
    is_async = inspect.iscoroutinefunction(function)
    if is_async and not scrub_errors:
        return function
    called = function if is_async else sync_to_async(function)

    @functools.wraps(function)
    async def tool(*arguments: Any, **named: Any) -> Any:
        try:
            return await called(*arguments, **named)
        except passing:
            raise
        except Exception as error:
            if not scrub_errors:
                raise
            raise ToolFailed(scrub(error, expose=current_run().expose_errors)) from None

    return tool
