"""The contract of an agent: one run input in, AG-UI events out."""

from __future__ import annotations

import abc
import asyncio
import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from ag_ui.core import RunAgentInput

#: What an agent may yield: a mapping in wire form (camelCase), or an ``ag_ui.core`` model.
Event = Mapping[str, Any] | Any


@dataclass(slots=True)
class RunInput:
    """What the client asked an agent to do.

    The attributes are snake_case; what is inside them (messages, tools, context entries, resume
    entries) is in wire form, exactly as the client sent it and already validated. ``state`` is
    ``None`` if the client sent none.
    """

    thread_id: str
    run_id: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    context: list[dict[str, Any]] = field(default_factory=list)
    state: Any = None
    forwarded_props: Any = None
    resume: list[dict[str, Any]] | None = None
    parent_run_id: str | None = None
    protocol_version: str | None = None
    #: The client sent ``forwardedProps`` as an explicit null: an echo repeats that.
    has_null_props: bool = False

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """From a validated RunAgentInput in wire form."""
        return cls(
            thread_id=wire["threadId"],
            run_id=wire["runId"],
            messages=wire["messages"],
            tools=wire["tools"],
            context=wire["context"],
            state=wire.get("state"),
            forwarded_props=wire.get("forwardedProps"),
            resume=wire.get("resume"),
            parent_run_id=wire.get("parentRunId"),
            protocol_version=wire.get("protocolVersion"),
            has_null_props=wire.get("forwardedProps", ...) is None,
        )

    def for_agent(self) -> Self:
        """This input as agents get it.

        Activity messages are between the server and the page, and which run came before is the
        client's business; ``forwarded_props`` are ``{}`` if there are none.
        """
        return replace(
            self,
            messages=[m for m in self.messages if m["role"] != "activity"],
            forwarded_props={} if self.forwarded_props is None else self.forwarded_props,
            parent_run_id=None,
            has_null_props=False,
        )

    def to_wire(self) -> dict[str, Any]:
        """The RunAgentInput to send to an AG-UI endpoint. Absent optional fields are left out."""
        wire: dict[str, Any] = {
            "threadId": self.thread_id,
            "runId": self.run_id,
            "messages": self.messages,
            "tools": self.tools,
            "context": self.context,
        }
        for key, value in (
            ("state", self.state),
            ("forwardedProps", self.forwarded_props),
            ("resume", self.resume),
            ("parentRunId", self.parent_run_id),
            ("protocolVersion", self.protocol_version),
        ):
            if value is not None:
                wire[key] = value
        if self.has_null_props:
            wire["forwardedProps"] = None
        return wire

    def to_model(self) -> RunAgentInput:
        """As the pydantic model of ``ag_ui.core``.

        Raises ``pydantic.ValidationError`` for forms that official clients still send and the
        installed version of the models no longer knows (``binary`` content parts, for one).
        """
        from ag_ui.core import RunAgentInput

        return RunAgentInput.model_validate({"state": {}, "forwardedProps": {}, **self.to_wire()})


@dataclass(slots=True)
class RunContext:
    """Everything one run of an agent may know.

    ``user`` is the Django user or ``None``; ``scope`` names who owns the thread (``user:42``,
    ``anon:…``); ``thread_key`` identifies the thread for good: key any memory of your own on it,
    never on the wire ``thread_id``, which two owners may share. It stays when a visitor's thread
    becomes a user's, and a thread that is deleted and begun again has another one. ``headers`` are
    the request headers the forwarding policy lets through, lower-cased. ``request_context`` is the
    dict that hooks and middleware of this request share with the agent. ``stop`` is set when the
    user pressed stop; the coroutine is cancelled at the same moment, and what it still yields
    within STOP_GRACE_SECONDS counts. ``purpose`` is ``"conversation"``, ``"suggestion"`` for a run
    that only suggests what the user might say, or ``"title"`` for one that names a thread: neither
    is a turn of the conversation, and nothing should come of it but its text. ``usage`` takes what
    the run has cost so far, in wire form: it counts where a run ends without reporting it.
    """

    input: RunInput
    agent_id: str
    user: Any = None
    scope: str = ""
    thread_key: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    request_context: dict[str, Any] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    #: Texts of foreign exceptions may reach the client and the model (EXPOSE_ERROR_TEXT).
    expose_errors: bool = False
    purpose: str = "conversation"
    usage: list[dict[str, Any]] = field(default_factory=list)

    def with_input(self, **changes: Any) -> RunContext:
        """The same run with another input: ``context.with_input(tools=[*tools, mine])``.

        For middleware; the input of the context itself stays as it is.
        """
        return replace(self, input=replace(self.input, **changes))

    @property
    def thread_id(self) -> str:
        return self.input.thread_id

    @property
    def run_id(self) -> str:
        return self.input.run_id

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.input.messages

    @property
    def state(self) -> Any:
        return self.input.state

    @property
    def last_user_text(self) -> str:
        """The text of the newest user message; of a list of parts, its text parts joined."""
        for message in reversed(self.input.messages):
            if message["role"] == "user":
                content = message["content"]
                if isinstance(content, str):
                    return content
                return "".join(part["text"] for part in content if part["type"] == "text")
        return ""

    def started(self, **extra: Any) -> dict[str, Any]:
        """The ``RUN_STARTED`` event every run begins with."""
        return {
            "type": "RUN_STARTED",
            "threadId": self.input.thread_id,
            "runId": self.input.run_id,
            **extra,
        }

    def finished(self, **extra: Any) -> dict[str, Any]:
        """The ``RUN_FINISHED`` event of a run that ends well, with ``outcome``, ``result`` …"""
        return {
            "type": "RUN_FINISHED",
            "threadId": self.input.thread_id,
            "runId": self.input.run_id,
            **extra,
        }


class Agent(abc.ABC):
    """Turns one run input into AG-UI events.

    Subclasses implement ``run`` as an async generator. ``name`` and ``description`` are shown to
    clients by ``/info``; the id an agent is registered under is what routes use.
    """

    name: str = ""
    description: str = ""

    #: What wraps the runs of this agent, the first outermost: `AgentMiddleware` objects or classes,
    #: async generator functions taking the run context and the next, or dotted paths.
    middleware: Sequence[Any] = ()

    def use(self, *middleware: Any) -> Self:
        """Wrap the runs of this agent in further middleware, inside of what it has already.

        Returns the agent: ``AGENTS = {"default": HttpAgent(url).use(redact)}``.
        """
        self.middleware = (*self.middleware, *middleware)
        return self

    @abc.abstractmethod
    def run(self, context: RunContext) -> AsyncIterator[Event]:
        """Yield the events of one run: ``RUN_STARTED`` first, ``RUN_FINISHED`` last.

        What is raised ends the run with a ``RUN_ERROR``; whatever was open is closed. A run whose
        generator ends without a terminal event is ended for it.
        """

    def clone(self) -> Self:
        """An agent of its own for one run, so that concurrent runs share nothing.

        The default copies deeply. Override it when the agent holds what cannot or should not be
        copied (clients, locks, compiled graphs).
        """
        return copy.deepcopy(self)

    async def capabilities(self) -> Mapping[str, Any] | None:
        """The AG-UI capabilities ``/info`` reports, or ``None``. May raise: it is left out then."""
        return None
