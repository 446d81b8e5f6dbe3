"""``agent/connect``: the history of a thread, then its live run."""

from __future__ import annotations

from collections.abc import AsyncIterator

from copilotkit_django.operations.call import Call, read_input
from copilotkit_django.operations.news import new_to
from copilotkit_django.runners.log import Batch, Cursor


async def connect(
    call: Call,
    agent_id: str,
    body: bytes,
    *,
    after: Cursor | None = None,
    only_news: bool = False,
) -> AsyncIterator[Batch]:
    """Return a reader of the caller's thread named in ``body``.

    A thread the caller does not have is an empty history. ``after`` is where a reader that asked
    for cursors left off. ``lastSeenEventId`` in the body is accepted and ignored: in this mode the
    official client always wants everything, but for what it sends along with ``only_news``
    (`copilotkit_django.operations.news`). Raises `AgentNotFound` before looking at the body, and
    `InvalidBody`.
    """
    try:
        await call.agent(agent_id)
        wire = read_input(body)
        reader = await call.endpoint.runner.connect(
            call.thread(wire["threadId"]),
            idle=call.endpoint.policy.idle,
            modern="protocolVersion" in wire,
            after=after,
        )
        if only_news and after is None and wire["messages"]:
            reader = new_to(wire["messages"], reader)
        return call.overheard(reader, agent_id, wire)
    except Exception as error:
        raise call.failed("Failed to run agent", error) from error
