"""``threads/*``: the caller's own threads."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from copilotkit_django.events.inputs import InvalidInput, is_storable, parse_json
from copilotkit_django.events.snapshot import messages, state
from copilotkit_django.events.wire import decode
from copilotkit_django.exceptions import BadRequest, NotFound, Unsupported
from copilotkit_django.operations.call import Call
from copilotkit_django.runners.threads import ThreadQuery, ThreadRecord, ThreadStore

#: The text the protocol has for what the reference leaves to its hosted service.
MISSING = (
    "Missing CopilotKitIntelligence configuration. {} a CopilotKitIntelligence instance "
    "to be provided in CopilotRuntime options."
)

#: The most threads one page may hold, whatever ``limit`` says.
MAX_PAGE = 1000

MAX_NAME_LENGTH = 255

#: No run has ended so late. Later moments are beyond what some databases can hold, or Python.
END_OF_TIME = 1e11


async def list_threads(call: Call, query: Mapping[str, str]) -> dict[str, Any]:
    """The caller's threads, the latest run first.

    ``query`` may hold ``agentId``, ``includeArchived`` (counts when exactly ``true``), ``limit``
    and the ``cursor`` of the page before. A cursor that is not one of ours asks for everything, as
    the reference gives it. Raises `Unsupported` if the runner keeps no threads.
    """
    store = _store(call)
    after, paged = _place(query.get("cursor"))
    limit = _limit(query.get("limit")) if paged else None
    agent_id = query.get("agentId") or None
    if agent_id is not None and not is_storable(agent_id):
        return {"threads": [], "nextCursor": None}
    records = await store.list(
        call.scope,
        ThreadQuery(
            agent_id=agent_id,
            include_archived=query.get("includeArchived") == "true",
            # One more than asked for tells whether there is another page.
            limit=None if limit is None else limit + 1,
            after=after,
        ),
    )
    more = limit is not None and len(records) > limit
    records = records[:limit]
    return {
        "threads": [row(record) for record in records],
        "nextCursor": _cursor(records[-1]) if more else None,
    }


async def thread_messages(call: Call, thread_id: str) -> dict[str, Any]:
    """The messages of a thread; none for one the caller does not have."""
    return {"messages": messages(await _events(call, thread_id))}


async def thread_events(call: Call, thread_id: str) -> dict[str, Any]:
    """The stored events of a thread, compacted as connect replays them."""
    return {"events": await _events(call, thread_id)}


async def thread_state(call: Call, thread_id: str) -> dict[str, Any]:
    """The last state of a thread, ``None`` if it has none that is an object."""
    return {"state": state(await _events(call, thread_id))}


async def update(call: Call, thread_id: str, body: bytes) -> dict[str, Any]:
    """Rename, archive or restore a thread: ``{"agentId", "name"?, "archived"?}``.

    Returns the thread's row. Raises `BadRequest` for the body and `NotFound`.
    """
    store = _store(call)
    fields = _fields(body)
    name, archived = fields.get("name"), fields.get("archived")
    if archived is not None and not isinstance(archived, bool):
        raise BadRequest("Invalid request body")
    if name is not None and (
        not isinstance(name, str) or len(name) > MAX_NAME_LENGTH or not is_storable(name)
    ):
        raise BadRequest("Invalid request body")
    record = await store.update(call.thread(thread_id), name=name, archived=archived)
    if record is None:
        raise NotFound
    return row(record)


async def archive(call: Call, thread_id: str, body: bytes) -> dict[str, Any]:
    """Archive a thread. Raises `BadRequest` for the body and `NotFound`."""
    store = _store(call)
    _fields(body)
    if await store.update(call.thread(thread_id), archived=True) is None:
        raise NotFound
    return {"threadId": thread_id, "archived": True}


async def delete(call: Call, thread_id: str, body: bytes) -> dict[str, Any]:
    """Delete a thread and stop what runs on it. Raises `BadRequest` for the body, `NotFound`."""
    store = _store(call)
    _fields(body)
    if not await store.delete(call.thread(thread_id)):
        raise NotFound
    return {"threadId": thread_id, "deleted": True}


async def clear(call: Call) -> None:
    """Forget all threads of the caller, and of nobody else."""
    store = call.endpoint.runner.threads
    if store is not None:
        await store.clear(call.scope)


def timestamp(seconds: float) -> str:
    """ISO 8601 in UTC with milliseconds. Clients sort threads by comparing these as text."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _store(call: Call) -> ThreadStore:
    store = call.endpoint.runner.threads
    if store is None:
        raise Unsupported(MISSING.format("Thread operations require"))
    return store


async def _events(call: Call, thread_id: str) -> list[dict[str, Any]]:
    reader = await _store(call).events(call.thread(thread_id))
    return [decode(event) async for batch in reader for event in batch]


def _fields(body: bytes) -> dict[str, Any]:
    """The body of a change, which always names an agent."""
    try:
        value = parse_json(body)
    except InvalidInput:
        raise BadRequest("Invalid request body") from None
    if not isinstance(value, dict):
        raise BadRequest("Invalid request body")
    agent_id = value.get("agentId")
    if not isinstance(agent_id, str) or not agent_id.strip():
        raise BadRequest("Valid agentId is required")
    return value


def _limit(text: str | None) -> int | None:
    """How many threads a page holds; ``None``: all of them."""
    if text is None or not text.isascii() or not text.isdigit():
        return None
    # Python refuses to read integers of thousands of digits.
    return min(int(text[:100]), MAX_PAGE) or None


def _cursor(record: ThreadRecord) -> str:
    place = orjson.dumps([record.last_run, record.thread_id])
    return base64.urlsafe_b64encode(place).decode()


def _place(cursor: str | None) -> tuple[tuple[float, str] | None, bool]:
    """Where a page starts, and whether the caller is paging at all."""
    if cursor is None:
        return None, True
    try:
        last_run, thread_id = orjson.loads(base64.urlsafe_b64decode(cursor))
        place = float(last_run), str(thread_id)
    except (binascii.Error, ValueError, TypeError):
        return None, False
    if 0 <= place[0] < END_OF_TIME and is_storable(place[1]):
        return place, True
    return None, False


def row(record: ThreadRecord) -> dict[str, Any]:
    """A thread in wire form."""
    wire = {
        "id": record.thread_id,
        "name": record.name,
        "agentId": record.agent_id,
        "organizationId": "",
        "createdById": "",
        "archived": record.archived,
        "createdAt": timestamp(record.created),
        "updatedAt": timestamp(record.updated),
    }
    if record.updated != record.last_run:
        # Clients sort by the last run and fall back on the last change, which a renaming is too.
        wire["lastRunAt"] = timestamp(record.last_run)
    return wire
