"""``agent/run``: start a run and follow it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from copilotkit_django.operations.call import Call, read_input
from copilotkit_django.operations.suggest import is_suggestion, suggestions
from copilotkit_django.runners.log import Batch


async def run(call: Call, agent_id: str, body: bytes) -> AsyncIterator[Batch]:
    """Start the run in ``body`` and return a reader of its events.

    Raises `AgentNotFound` before looking at the body, `InvalidBody`, `TooManyMessages`,
    `TooManyRuns`, `ThreadBusy`. A client that has no suggest route asks for suggestions here, on a
    thread id of no further use: those leave nothing behind either.
    """
    try:
        agent = await call.agent(agent_id)
        wire = read_input(body, call.endpoint.options.max_messages)
        request = call.run_request(agent_id, agent, wire)
        if is_suggestion(wire):
            return suggestions(request)
        request.digest = hashlib.blake2b(agent_id.encode() + b"\0" + body, digest_size=16).digest()
        request.slot = call.slot(request.thread)
        try:
            reader = await call.endpoint.runner.run(request)
        finally:
            if request.slot is not None:
                request.slot.settle()
        return call.overheard(reader, agent_id, wire)
    except Exception as error:
        raise call.failed("Failed to run agent", error) from error
