"""``threads/*``: the caller's own threads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from copilotkit_django.exceptions import Unsupported
from copilotkit_django.operations.call import Call
from copilotkit_django.runners.base import ThreadRecord, ThreadStore

#: The text the protocol has for what only its hosted service offers.
MISSING = (
    "Missing CopilotKitIntelligence configuration. {} require a CopilotKitIntelligence instance "
    "to be provided in CopilotRuntime options."
)


async def list_threads(call: Call, query: Mapping[str, str]) -> dict[str, Any]:
    """The caller's threads, the latest activity first, of one agent if ``agentId`` is given.

    Raises `Unsupported` if the runner keeps no threads.
    """
    records = await _store(call).list(call.scope, query.get("agentId"))
    return {"threads": [_row(record) for record in records], "nextCursor": None}


async def clear(call: Call) -> None:
    """Forget all threads of the caller, and of nobody else."""
    store = call.endpoint.runner.threads
    if store is not None:
        await store.clear(call.scope)


def _store(call: Call) -> ThreadStore:
    store = call.endpoint.runner.threads
    if store is None:
        raise Unsupported(MISSING.format("Thread operations"))
    return store


def _row(record: ThreadRecord) -> dict[str, Any]:
    return {
        "id": record.thread_id,
        "name": record.name,
        "agentId": record.agent_id,
        "organizationId": "",
        "createdById": "",
        "archived": record.archived,
        "createdAt": timestamp(record.created),
        "updatedAt": timestamp(record.updated),
    }


def timestamp(seconds: float) -> str:
    """ISO 8601 in UTC with milliseconds. Clients sort threads by comparing these as text."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
