"""``agent/suggest``: a run outside of any thread, which ends when nobody listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from copilotkit_django.operations.call import Call, read_input
from copilotkit_django.runners.base import RunRequest
from copilotkit_django.runners.log import Batch
from copilotkit_django.runners.task import RunTask

#: The one tool a suggestion run of the official client carries.
SUGGEST_TOOL = "copilotkitSuggest"


async def suggest(call: Call, agent_id: str, body: bytes) -> AsyncIterator[Batch]:
    """Return a reader of the suggestions the agent makes for the input in ``body``.

    Nothing is stored, no thread is held, and the run is cancelled with its reader. Raises
    `AgentNotFound` before looking at the body, `InvalidBody` and `TooManyMessages`; what an agents
    factory raises is passed on: unlike run and connect the protocol has no text for it.
    """
    agent = await call.agent(agent_id)
    return suggestions(
        call.run_request(agent_id, agent, read_input(body, call.endpoint.options.max_messages))
    )


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


async def suggestions(request: RunRequest) -> AsyncIterator[Batch]:
    """Run outside of the runner; the agent is cancelled when the reader goes away."""
    # Started here and not before: a reader that is never read has no end that could cancel it.
    task = RunTask(request, echo=False)
    task.start()
    try:
        async for batch in task.log.read(idle=request.policy.idle):
            yield batch
    finally:
        task.cancel()
