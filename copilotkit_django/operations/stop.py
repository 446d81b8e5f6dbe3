"""``agent/stop``: ask the live run of a thread to stop."""

from __future__ import annotations

from typing import Any

from copilotkit_django.events.inputs import InvalidInput, parse_json
from copilotkit_django.exceptions import BadRequest
from copilotkit_django.operations.call import Call


async def stop(call: Call, agent_id: str, thread_id: str, body: bytes) -> dict[str, Any]:
    """Stop the caller's thread, or only the run named in the optional body ``{"runId"}``.

    Answers whether a run was asked to stop; its stream then ends by itself. Raises `BadRequest`
    before looking for the agent, and `AgentNotFound`.
    """
    run_id = _run_id(body)
    try:
        await call.agent(agent_id)
        stopped = await call.endpoint.runner.stop(call.thread(thread_id), run_id)
    except Exception as error:
        raise call.failed("Failed to stop agent", error) from error
    if stopped:
        interrupt = {"type": "RUN_ERROR", "message": "Run stopped by user", "code": "STOPPED"}
        return {"stopped": True, "interrupt": interrupt}
    if run_id is None:
        message = f"No active run for thread '{thread_id}'."
    else:
        message = f"Run '{run_id}' is not the active run for thread '{thread_id}'."
    return {"stopped": False, "message": message}


def _run_id(body: bytes) -> str | None:
    if not body.strip():
        return None
    try:
        value = parse_json(body)
    except InvalidInput:
        raise BadRequest("Invalid stop request") from None
    if not isinstance(value, dict) or value.keys() - {"runId"}:
        raise BadRequest("Invalid stop request")
    if "runId" not in value:
        return None
    run_id = value["runId"]
    if not isinstance(run_id, str) or not run_id.strip():
        raise BadRequest("Invalid runId")
    return run_id
