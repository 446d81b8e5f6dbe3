"""The contract of a runner: who owns what happens to a thread."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from copilotkit_django import notices
from copilotkit_django.agents.base import Agent, RunInput
from copilotkit_django.keys import thread_key
from copilotkit_django.runners.log import Batch, Cursor
from copilotkit_django.runners.slots import Slot
from copilotkit_django.runners.threads import ThreadStore
from copilotkit_django.runners.tokens import Account, MemoryTokens, TokenCounts
from copilotkit_django.runners.watch import ThreadWatch

if TYPE_CHECKING:
    from copilotkit_django.conf import Options
    from copilotkit_django.runners.naming import ThreadNames


@dataclass(frozen=True, slots=True)
class ThreadRef:
    """A thread as a caller may name it: whose, and which.

    Two scopes may use the same ``thread_id`` for two different threads. ``key`` is one short string
    for both together, the same for everybody who computes it.
    """

    scope: str
    thread_id: str

    @property
    def key(self) -> str:
        return thread_key(self.scope, self.thread_id)


@dataclass(slots=True)
class RunRequest:
    """One run, ready to start: the caller is known, the agent is found, the input is valid."""

    thread: ThreadRef
    agent_id: str
    #: A clone of the registered agent, for this run only.
    agent: Agent
    input: RunInput
    user: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    request_context: dict[str, Any] = field(default_factory=dict)
    #: Digest of agent id and request body: tells a request sent twice from a second request.
    digest: bytes = b""
    policy: RunPolicy = field(default_factory=lambda: RunPolicy())
    #: The place of the run among those of its owner; `RunTask` gives it back.
    slot: Slot | None = None
    #: Where the tokens of the run are counted, by `RunTask`; ``None``: nowhere.
    account: Account | None = None
    #: As in `RunContext`.
    purpose: str = "conversation"


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """The settings a runner has to honour, as the endpoint of this request has them."""

    #: A run on a busy thread ends the one before it instead of being refused.
    supersede: bool = False
    #: How long a stopped agent may go on yielding.
    stop_grace: float = 5.0
    #: Readers yield an empty batch after so many seconds of silence; ``None``: never.
    idle: float | None = 15.0
    #: Texts of foreign exceptions may reach the client.
    expose_errors: bool = False
    #: How long a run may take, how many events and how many bytes of them it may send.
    max_seconds: float | None = None
    max_events: int | None = None
    max_bytes: int | None = None
    #: How new threads get a name: ``"first-words"``, ``"agent"``, or not at all.
    thread_names: str | None = None


class AgentRunner(abc.ABC):
    """Owns what happens to a thread: starting, following, stopping.

    A runner knows nothing of HTTP: views, the websocket consumer, the admin and commands call the
    same methods. What they are given are async iterators of batches, each a list of encoded events
    (one JSON object as bytes, without framing). `copilotkit_django.runners.task.RunTask` runs an
    agent and fills a log, so that a runner only decides who may run and what is kept.
    """

    @classmethod
    def from_options(cls, options: Options) -> Self:
        """The runner for an endpoint whose RUNNER names the class."""
        return cls()

    @abc.abstractmethod
    async def run(self, request: RunRequest) -> AsyncIterator[Batch]:
        """Start a run and return a reader that follows it to its end.

        The run goes on when nobody reads. The thread is free again before the reader ends: the
        client's next run arrives milliseconds later. Raises `ThreadBusy` if another run holds the
        thread; a request sent twice (same thread, run id and digest) joins the run it started.
        """

    @abc.abstractmethod
    async def connect(
        self,
        thread: ThreadRef,
        *,
        idle: float | None = None,
        modern: bool = False,
        after: Cursor | None = None,
    ) -> AsyncIterator[Batch]:
        """Return a reader of the thread's history that then follows the live run, if any.

        An unknown thread is an empty history. The reader ends with the run that was the last one
        when it was made. ``idle`` as in `RunPolicy`; ``modern`` says that the caller declared
        protocol 1.0, so that runs whose client did so too may be sent as they were. ``after``
        is the place of the last event the caller has had; a runner that cannot go on from there
        sends a reset marker (`copilotkit_django.runners.history.reset_marker`) and begins anew
        with that run.
        """

    @abc.abstractmethod
    async def stop(self, thread: ThreadRef, run_id: str | None = None) -> bool:
        """Ask the live run to stop; with ``run_id`` only if it is that one.

        True if a run was asked to stop, false if there was none or it was stopping already.
        """

    @abc.abstractmethod
    async def is_running(self, thread: ThreadRef) -> bool:
        """Whether a run holds the thread at this moment."""

    #: The store behind the `/threads` routes, or ``None``: the routes then answer 422.
    threads: ThreadStore | None = None

    @cached_property
    def watch(self) -> ThreadWatch | None:
        """Tells of changes to threads as they happen; ``None`` where nothing tells of them."""
        threads = self.threads
        return ThreadWatch(self) if threads is not None and threads.tells_changes else None

    def changed(self, thread: ThreadRef, operation: str = "") -> None:
        """Tell whoever watches the scope of a thread that it has changed.

        ``operation`` is what was done to it, if that cannot be seen from how it is: ``renamed``
        for one.
        """
        self.notify("threads", [notices.thread_news(thread, operation)])

    #: The runner has let go of what it works on, and serves nobody any more.
    is_closed = False

    def listen(self) -> None:
        """From now on hear what other processes tell, on this loop. Returns at once."""
        return

    def notify(self, name: str, news: Sequence[str]) -> None:
        """Tell this process, and others if there are any, of `copilotkit_django.notices`.

        May be called from any thread, and may get lost on the way to others.
        """
        notices.deliver(name, news)

    @cached_property
    def tokens(self) -> TokenCounts:
        """Where tokens are counted for TOKEN_BUDGETS: by each process, unless a runner can do
        better."""
        return MemoryTokens()

    @cached_property
    def names(self) -> ThreadNames:
        """Names new threads. A runner that makes `RunTask` objects says which are the first on
        their threads (`RunTask.begins_thread`), and calls ``names.cancel`` when it drains."""
        from copilotkit_django.runners.naming import ThreadNames

        return ThreadNames(self)

    async def drain(self) -> None:
        """The process is about to stop: end the live runs with an error and free their threads."""
        return
