"""``agent/suggest``: a run outside of any thread, which ends when nobody listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from copilotkit_django.agents.base import Agent
from copilotkit_django.operations.aside import Aside
from copilotkit_django.operations.call import Call, read_run_input
from copilotkit_django.runners.log import Batch

#: The one tool a suggestion run of the official client carries.
SUGGEST_TOOL = "copilotkitSuggest"


async def suggest(call: Call, agent_id: str, body: bytes) -> AsyncIterator[Batch]:
    """Return a reader of the suggestions the agent makes for the input in ``body``.

    Nothing is stored, no thread is held, and the run is cancelled with its reader. Raises
    `AgentNotFound` before looking at the body, what `read_run_input` raises, and `BudgetSpent`;
    what an agents factory raises is passed on: unlike run and connect the protocol has no text for
    it.
    """
    agent = await call.agent(agent_id)
    wire = read_run_input(body, call.endpoint.options)
    return await suggestions(call, agent_id, agent, wire)


async def suggestions(call: Call, agent_id: str, agent: Agent, wire: dict[str, Any]) -> Aside:
    """A reader of the suggestions for a validated input. Raises `BudgetSpent`."""
    request = call.run_request(agent_id, agent, wire, suggestion=True)
    request.account = await call.account()
    return Aside(request)


def is_suggestion(wire: dict[str, Any]) -> bool:
    """Whether a run input is the official client asking for suggestions."""
    forwarded = wire.get("forwardedProps")
    choice = forwarded.get("toolChoice") if isinstance(forwarded, dict) else None
    function = choice.get("function") if isinstance(choice, dict) else None
    return (
        isinstance(function, dict)
        and function.get("name") == SUGGEST_TOOL
        and [tool["name"] for tool in wire["tools"]] == [SUGGEST_TOOL]
    )
