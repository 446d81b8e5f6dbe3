"""``agent/run``: start a run and follow it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from uuid import uuid4

from copilotkit_django.agents.middleware.chain import WrappedAgent
from copilotkit_django.operations.aside import Aside
from copilotkit_django.operations.call import Call, read_run_input
from copilotkit_django.operations.suggest import is_suggestion, suggestions
from copilotkit_django.runners.log import Batch


async def run(call: Call, agent_id: str, body: bytes) -> AsyncIterator[Batch]:
    """Start the run in ``body`` and return a reader of its events.

    Raises `AgentNotFound` before looking at the body, what `read_run_input` raises,
    `BudgetSpent`, `TooManyRuns`, `ThreadBusy`. A client that has no suggest route asks for
    suggestions here, on a thread id of no further use: those leave nothing behind, and neither do
    runs that middleware says are no turn of the conversation.
    """
    try:
        agent = await call.agent(agent_id)
        wire = read_run_input(body, call.endpoint.options)
        if is_suggestion(wire):
            return await suggestions(call, agent_id, agent, wire)
        request = call.run_request(agent_id, agent, wire)
        if isinstance(request.agent, WrappedAgent) and request.agent.is_aside(request.input):
            request.slot = call.slot(uuid4().hex)
            return Aside(request)
        request.account = await call.account()
        request.digest = hashlib.blake2b(agent_id.encode() + b"\0" + body, digest_size=16).digest()
        request.slot = call.slot(request.thread.key)
        try:
            reader = await call.endpoint.runner.run(request)
        finally:
            if request.slot is not None:
                request.slot.settle()
        return call.overheard(reader, agent_id, wire)
    except Exception as error:
        raise call.failed("Failed to run agent", error) from error
