"""Flows and crews of CrewAI, by way of ``ag-ui-crewai``.

CrewAI holds other libraries at versions most frameworks do not go with: it needs an environment of
its own, and may be better off as a service behind `HttpAgent`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents import Event, RunContext
from copilotkit_django.contrib.conversation import repaired
from copilotkit_django.contrib.framework import FrameworkAgent, run_input
from copilotkit_django.contrib.interrupts import seal, unseal
from copilotkit_django.contrib.stream import wires

if TYPE_CHECKING:
    from crewai import Crew
    from crewai.flow.flow import Flow

__all__ = ["CrewAIAgent"]

#: What the bridge keeps in the state of a flow.
OWN = frozenset(["id", "messages", "tools", "context", "copilotkit", "ag-ui"])


class CrewAIAgent(FrameworkAgent):
    """A ``crewai.Flow``, or a crew to chat with: a ``Crew`` or a ``@CrewBase`` instance.

    A flow finds the conversation in its state (``messages``), with the tools of the page
    (``copilotkit.actions``), its context and state; what it changes in its state goes back to the
    page. It is copied for each run. It speaks through ``copilotkit_stream``, and is interrupted by
    ``@human_feedback`` with the ``agui_feedback_provider``; CrewAI stores what it needs to go on
    under the thread's key.

    A crew is called by a model that chats about it (``chat_llm``), and works in a thread, which
    nothing can stop: after a stop it goes on unheard.

    Importing CrewAI takes seconds and starts threads. It reports to its makers unless
    ``CREWAI_DISABLE_TELEMETRY=true``.
    """

    extra = "crewai"

    def __init__(
        self,
        agent: Flow[Any] | Crew | Any,
        *,
        name: str = "",
        description: str = "",
        conversational: bool = False,
        raw: bool = False,
    ) -> None:
        try:
            from ag_ui_crewai import add_crewai_flow_fastapi_endpoint  # noqa: F401
            from crewai.flow.flow import Flow
        except ImportError as error:
            raise self.missing(error) from error
        super().__init__(name=name or _name_of(agent), description=description, raw=raw)
        self.agent = agent
        self.conversational = conversational
        self._lock = threading.Lock()
        self._endpoint: Any = self._endpoint_of(agent) if isinstance(agent, Flow) else None

    async def capabilities(self) -> Mapping[str, Any]:
        return {
            "transport": {"streaming": True},
            "tools": {"supported": True, "clientProvided": True},
            "state": {"snapshots": True, "deltas": False},
            "reasoning": {"supported": True, "streaming": True},
            "humanInTheLoop": {"supported": True, "feedback": True, "interrupts": True},
        }

    async def stream(self, context: RunContext) -> AsyncIterator[Event]:
        answers = context.input.resume or []
        if any(entry["status"] == "cancelled" for entry in answers):
            # To CrewAI no answer is the first of those that were possible: a yes, as like as not.
            return
        # Of a crew, its model is asked to describe it first.
        endpoint = self._endpoint or await asyncio.to_thread(self._chat_with_crew)
        given = run_input(
            context,
            messages=repaired(context.messages, open_end=bool(answers)),
            state=_without_own(context.state),
            forwarded_props=_without_own(context.input.forwarded_props),
            resume=[
                {**entry, "interruptId": unseal(entry["interruptId"], context)} for entry in answers
            ]
            or None,
        )
        response = await endpoint(given, SimpleNamespace(headers={}))
        async with aclosing(response.body_iterator) as chunks:
            async for chunk in chunks:
                for event in wires(chunk):
                    if event["type"] == "STATE_SNAPSHOT":
                        event["snapshot"] = _without_own(event["snapshot"])
                    elif (event.get("outcome") or {}).get("type") == "interrupt":
                        event["outcome"]["interrupts"] = [
                            _question(each, context) for each in event["outcome"]["interrupts"]
                        ]
                    yield event

    def _chat_with_crew(self) -> Any:
        from ag_ui_crewai import ChatWithCrewFlow
        from crewai import Crew

        with self._lock:
            if self._endpoint is None:
                crew = self.agent
                if isinstance(crew, Crew):
                    crew = SimpleNamespace(crew=lambda: self.agent, name=self.name)
                self._endpoint = self._endpoint_of(ChatWithCrewFlow(crew=crew))
            return self._endpoint

    def _endpoint_of(self, flow: Any) -> Any:
        from ag_ui_crewai import add_crewai_flow_fastapi_endpoint
        from fastapi import APIRouter

        router = APIRouter()
        add_crewai_flow_fastapi_endpoint(
            router,
            flow,
            "/run",
            emit_interrupt_outcome=True,
            enable_legacy_on_interrupt_event=False,
            emit_raw_events=self.raw,
            conversational=self.conversational,
        )
        return router.routes[-1].endpoint


def _without_own(state: Any) -> Any:
    """A flow's state without what is the bridge's: neither for the page to see nor to set."""
    if not isinstance(state, Mapping):
        return state
    return {key: value for key, value in state.items() if key not in OWN}


def _question(interrupt: Mapping[str, Any], context: RunContext) -> dict[str, Any]:
    # Its id and that of the flow are the key of the thread.
    metadata = dict(interrupt.get("metadata") or {})
    about = {key: value for key, value in metadata.get("crewai", {}).items() if key != "flowId"}
    return {
        **interrupt,
        "id": seal(interrupt["id"], context),
        "metadata": {**metadata, "crewai": about},
    }


def _name_of(agent: Any) -> str:
    for attribute in ("name", "_crew_name"):
        name = getattr(agent, attribute, None)
        if isinstance(name, str) and name.strip():
            return name
    return type(agent).__name__
