"""Agents that speak the Agent2Agent protocol (A2A 1.0 and 0.3), wherever they run."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from copilotkit_django.agents import Event, RunContext
from copilotkit_django.agents.attachments import parts_of
from copilotkit_django.agents.http import CONNECT_SECONDS, tls
from copilotkit_django.contrib.conversation import news
from copilotkit_django.contrib.framework import FrameworkAgent, FrameworkError
from copilotkit_django.contrib.interrupts import UnknownInterrupt, unseal
from copilotkit_django.contrib.remote_task import QUESTION, RemoteTask

if TYPE_CHECKING:
    from a2a.client import Client, ClientCallContext
    from a2a.types import AgentCard, Part

logger = logging.getLogger("copilotkit.run")

#: So long an agent card is believed.
CARD_SECONDS = 300.0


class A2AAgent(FrameworkAgent):
    """An agent behind an A2A endpoint.

    ``agent`` is the base URL its card is found under, or the card (``a2a.types.AgentCard``). The
    thread is the A2A context, under an id no other owner has. The newest user message is sent: the
    agent keeps the conversation itself.

    A task that requires input ends the run with an interrupt (reason ``input_required`` or
    ``auth_required``); its answer goes on with the task. With ``interrupts=False`` the question is
    an ordinary message, and so is the answer. The user's stop cancels the task.

    Texts become messages, other parts activities (``a2a-artifact``, ``a2a-message``, the content in
    the JSON form of A2A), what a working agent says reasoning. Tools, state and context of the page
    stay here, unless ``metadata`` makes a mapping of the run's context that goes with the message.

    ``headers`` go with every request and win over forwarded ones. Both go to the origin of
    ``agent``, and to an endpoint its card names elsewhere only if ``trusted_origins`` names that
    (``"https://agents.example.com"``).
    """

    extra = "a2a"

    def __init__(
        self,
        agent: str | AgentCard,
        *,
        headers: Mapping[str, str] | None = None,
        name: str = "",
        description: str = "",
        interrupts: bool = True,
        metadata: Callable[[RunContext], Mapping[str, Any]] | None = None,
        card_path: str | None = None,
        trusted_origins: Iterable[str] = (),
        timeout: httpx.Timeout | float | None = None,
    ) -> None:
        try:
            import a2a.client  # noqa: F401
        except ImportError as error:
            raise self.missing(error) from error
        super().__init__(name=name, description=description)
        self.agent = agent
        self.headers = dict(headers or {})
        self.interrupts = interrupts
        self.metadata = metadata
        self.card_path = card_path
        self.trusted_origins = {_origin(url) for url in trusted_origins}
        if isinstance(agent, str):
            self.trusted_origins.add(_origin(agent))
        else:
            self.trusted_origins.update(_origin(each.url) for each in agent.supported_interfaces)
        self.timeout = httpx.Timeout(CONNECT_SECONDS, read=None) if timeout is None else timeout
        self._card: tuple[float, AgentCard] | None = None

    async def capabilities(self) -> Mapping[str, Any]:
        return {
            "transport": {"streaming": True},
            "tools": {"supported": False, "clientProvided": False},
            "humanInTheLoop": {"supported": self.interrupts, "interrupts": self.interrupts},
        }

    async def stream(self, context: RunContext) -> AsyncIterator[Event]:
        async with httpx.AsyncClient(timeout=self.timeout, verify=tls()) as http:
            task = RemoteTask(context, *await self._client(http, context))
            try:
                for task_id, parts in _answers(context) or [(_question(context), _news(context))]:
                    if parts is None:
                        await task.cancel(task_id)
                        continue
                    if not parts:
                        raise FrameworkError("There is no user message to send.")
                    metadata = self.metadata(context) if self.metadata is not None else None
                    async with aclosing(task.send(parts, task_id, metadata)) as events:
                        async for event in events:
                            yield event
            finally:
                await task.leave()
        for event in task.ending(interrupts=self.interrupts):
            yield event

    async def _client(
        self, http: httpx.AsyncClient, context: RunContext
    ) -> tuple[Client, ClientCallContext]:
        from a2a.client import ClientCallContext, ClientConfig, ClientFactory
        from a2a.utils import TransportProtocol

        headers = httpx.Headers(context.headers, encoding="latin-1")
        headers.update(self.headers)
        card = await self._read_card(http, headers)
        origins = {_origin(interface.url) for interface in card.supported_interfaces}
        if headers and not origins <= self.trusted_origins:
            logger.warning(
                "The card of agent %r names %s, which is not among its trusted_origins: requests "
                "go there without headers.",
                context.agent_id,
                ", ".join(sorted(origins - self.trusted_origins)),
            )
            headers = httpx.Headers()
        config = ClientConfig(
            httpx_client=http,
            supported_protocol_bindings=[TransportProtocol.JSONRPC, TransportProtocol.HTTP_JSON],
        )
        return ClientFactory(config).create(card), ClientCallContext(
            service_parameters=dict(headers)
        )

    async def _read_card(self, http: httpx.AsyncClient, headers: httpx.Headers) -> AgentCard:
        from a2a.client import A2ACardResolver

        if not isinstance(self.agent, str):
            return self.agent
        if self._card is None or self._card[0] < time.monotonic():
            card = await A2ACardResolver(http, self.agent).get_agent_card(
                self.card_path, http_kwargs={"headers": headers, "timeout": CONNECT_SECONDS}
            )
            self._card = (time.monotonic() + CARD_SECONDS, card)
        return self._card[1]


def _answers(context: RunContext) -> list[tuple[str, list[Part] | None]]:
    """What the user answers to which task; ``None`` is a refusal to answer."""
    return [
        (
            unseal(entry["interruptId"], context),
            None if entry["status"] == "cancelled" else _payload(entry.get("payload")),
        )
        for entry in context.input.resume or []
    ]


def _payload(payload: Any) -> list[Part]:
    from a2a.helpers import new_data_part, new_text_part

    if isinstance(payload, str):
        return [new_text_part(payload)]
    return [new_data_part({"status": "resolved"} if payload is None else payload)]


def _question(context: RunContext) -> str:
    """The task the newest assistant message asks for, if it does."""
    for message in reversed(context.messages):
        if message["role"] == "assistant":
            if not message["id"].startswith(QUESTION):
                return ""
            try:
                return str(unseal(message["id"].removeprefix(QUESTION), context))
            except UnknownInterrupt:
                return ""
    return ""


def _news(context: RunContext) -> list[Part]:
    """What the user said since the agent spoke last."""
    from a2a.helpers import new_raw_part, new_text_part, new_url_part

    parts: list[Part] = []
    for message in news(context.messages):
        for part in parts_of(message["content"]) if message["role"] == "user" else ():
            if isinstance(part, str):
                parts.append(new_text_part(part))
            elif part.data is not None:
                parts.append(new_raw_part(part.data, part.media_type, part.name))
            else:
                parts.append(new_url_part(part.url, part.media_type, part.name))
    return parts


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
