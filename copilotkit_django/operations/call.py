"""Who calls which endpoint: what every operation starts from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from copilotkit_django.agents.base import Agent, RunInput
from copilotkit_django.agents.middleware.stack import MiddlewareStack
from copilotkit_django.agents.registry import AgentRegistry
from copilotkit_django.budgets import Budget, budgets_from
from copilotkit_django.conf import Options
from copilotkit_django.debug_feed import DebugFeed
from copilotkit_django.events.inputs import InvalidInput, parse_json, run_input
from copilotkit_django.exceptions import (
    AgentNotFound,
    CopilotKitError,
    InvalidBody,
    OperationFailed,
    TooManyMessages,
)
from copilotkit_django.incidents import scrub
from copilotkit_django.operations.attachments import refuse_attachments
from copilotkit_django.runners.base import AgentRunner, RunPolicy, RunRequest, ThreadRef
from copilotkit_django.runners.log import Batch
from copilotkit_django.runners.slots import Slot, Slots
from copilotkit_django.runners.tokens import Account
from copilotkit_django.transcription import TranscriptionService
from copilotkit_django.workers import call


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The parts of one endpoint that operations work with."""

    options: Options
    agents: AgentRegistry
    runner: AgentRunner
    policy: RunPolicy
    middleware: MiddlewareStack = field(default_factory=MiddlewareStack)
    transcription: TranscriptionService | None = None
    debug_feed: DebugFeed | None = None
    #: How many tokens an owner may use, or what is asked for it with the request and the user.
    budgets: Callable[..., Any] | Sequence[Budget] = ()
    #: The live runs of each owner.
    slots: Slots = field(default_factory=Slots)


@dataclass(frozen=True, slots=True)
class Call:
    """One caller at one endpoint.

    ``headers`` are the request headers that may reach an agent, ``request`` is what an agents
    factory is called with; operations pass both on and look into neither.
    """

    endpoint: Endpoint
    scope: str
    user: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    request_context: dict[str, Any] = field(default_factory=dict)
    request: Any = None

    async def agent(self, agent_id: str) -> Agent:
        """The agent registered under that id. Raises `AgentNotFound`."""
        agent = (await self.endpoint.agents.all(self.request)).get(agent_id)
        if agent is None:
            raise AgentNotFound(agent_id)
        return agent

    def thread(self, thread_id: str) -> ThreadRef:
        """The caller's thread of that id."""
        return ThreadRef(self.scope, thread_id)

    def run_request(
        self, agent_id: str, agent: Agent, wire: dict[str, Any], *, suggestion: bool = False
    ) -> RunRequest:
        """What a runner needs to know of the run in ``wire``, a validated RunAgentInput.

        The run is given a clone of the agent, in the middleware that wraps it. ``suggestion`` says
        that the run only makes suggestions, which not all middleware is for.
        """
        run_input = RunInput.from_wire(wire)
        return RunRequest(
            thread=self.thread(wire["threadId"]),
            agent_id=agent_id,
            agent=self.endpoint.middleware.wrap(
                agent_id, agent.clone(), run_input, suggestion=suggestion
            ),
            input=run_input,
            user=self.user,
            headers=self.headers,
            request_context=self.request_context,
            policy=self.endpoint.policy,
            purpose="suggestion" if suggestion else "conversation",
        )

    @property
    def owner(self) -> str:
        """Who is behind what is asked: the signed-in user, else the visitor or scope."""
        pk = getattr(self.user, "pk", None)
        return self.scope if pk is None else f"user:{pk}"

    async def account(self) -> Account | None:
        """Where the tokens of the caller's runs are counted, if they are.

        Raises `BudgetSpent` if the caller has none left.
        """
        budgets = self.endpoint.budgets
        if callable(budgets):
            budgets = budgets_from(await call(budgets, self.request, self.user))
        if not budgets:
            return None
        account = Account(self.endpoint.runner.tokens, self.owner, budgets)
        await account.refuse_spent()
        return account

    def slot(self, key: str) -> Slot | None:
        """A place among the live runs of the caller. Raises `TooManyRuns`.

        Runs of one ``key`` (that of their thread) take one place together. ``None`` where there is
        no limit, or no owner: all visitors share one scope.
        """
        options = self.endpoint.options
        limit = options.concurrent_runs_per_owner
        if limit is None or options.authentication == "anonymous-shared":
            return None
        return self.endpoint.slots.take(self.owner, key, limit)

    def overheard(
        self, reader: AsyncIterator[Batch], agent_id: str, wire: dict[str, Any]
    ) -> AsyncIterator[Batch]:
        """The same reader, with the debug feed listening where there is one."""
        feed = self.endpoint.debug_feed
        if feed is None:
            return reader
        return feed.overhear(reader, agent_id, wire["threadId"], wire["runId"])

    def failed(self, error: str, cause: Exception) -> CopilotKitError:
        """The answer for an operation that somebody else's code made fail.

        ``error`` is the protocol's text for it. Errors of our own are passed on as they are.
        """
        if isinstance(cause, CopilotKitError):
            return cause
        return OperationFailed(error, scrub(cause, expose=self.endpoint.options.exposes_errors))


def read_run_input(body: bytes, options: Options) -> dict[str, Any]:
    """The RunAgentInput of a run, in wire form, if it is none too large.

    Raises `InvalidBody`, `TooManyMessages`, `TooManyAttachments` and `AttachmentTooLarge`.
    """
    wire = read_input(body, options.max_messages)
    refuse_attachments(wire["messages"], options)
    return wire


def read_input(body: bytes, max_messages: int | None = None) -> dict[str, Any]:
    """The RunAgentInput in a request body, in wire form.

    Raises `InvalidBody` and `TooManyMessages`.
    """
    try:
        data = parse_json(body)
        # Before all of them are looked at, which takes its time.
        messages = data.get("messages") if isinstance(data, dict) else None
        if max_messages is not None and isinstance(messages, list) and len(messages) > max_messages:
            raise TooManyMessages(max_messages)
        return run_input(data)
    except InvalidInput as error:
        raise InvalidBody(str(error)) from None
