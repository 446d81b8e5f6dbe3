"""``info``: what this endpoint offers to this caller."""

from __future__ import annotations

import logging
from typing import Any

from copilotkit_django import __version__
from copilotkit_django.agents.base import Agent
from copilotkit_django.operations.call import Call

logger = logging.getLogger("copilotkit.request")


async def info(
    call: Call, *, single: bool = False, realtime_url: str | None = None
) -> dict[str, Any]:
    """The answer of ``/info``; ``single`` if it was asked for through the single-route envelope.

    ``realtime_url`` is where live thread lists are to be had, if they are. No licence status is
    ever part of it: there is none to report.
    """
    try:
        agents = await call.endpoint.agents.all(call.request)
        described = {key: await _describe(key, agent) for key, agent in agents.items()}
    except Exception as error:
        raise call.failed("Failed to retrieve runtime information", error) from error
    options = call.endpoint.options
    a2ui = call.endpoint.middleware.a2ui
    answer: dict[str, Any] = {
        "version": __version__,
        "agents": described,
        "audioFileTranscriptionEnabled": call.endpoint.transcription is not None,
        "mode": "sse",
        "threadEndpoints": _thread_endpoints(call, realtime_url),
        "suggestions": True,
        "a2uiEnabled": a2ui is not None,
        "openGenerativeUIEnabled": bool(options.open_generative_ui),
        "telemetryDisabled": True,
    }
    if a2ui is not None:
        limited = {} if a2ui.agents is None else {"agents": list(a2ui.agents)}
        answer["a2ui"] = {"enabled": True, **limited}
    if realtime_url is not None:
        # The mode stays as it is: runs go over HTTP, only the lists are told over the socket.
        answer["intelligence"] = {"wsUrl": realtime_url}
    if single:
        answer["singleRoute"] = {
            "resourceOperations": True,
            "threadEndpoints": _thread_endpoints(call, realtime_url),
        }
    return answer


def _thread_endpoints(call: Call, realtime_url: str | None) -> dict[str, bool]:
    has_threads = call.endpoint.runner.threads is not None
    return {
        "list": has_threads,
        "inspect": has_threads,
        "mutations": has_threads,
        "realtimeMetadata": realtime_url is not None,
    }


async def _describe(agent_id: str, agent: Agent) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": agent_id,
        # In the language of the request, if it is a lazy translation.
        "description": str(agent.description),
        "className": type(agent).__name__,
    }
    try:
        capabilities = await agent.capabilities()
    except Exception:
        # One agent that cannot tell must not take the page of all others away.
        logger.exception("Agent %r could not report its capabilities.", agent_id)
        capabilities = None
    if capabilities is not None:
        described["capabilities"] = dict(capabilities)
    return described
