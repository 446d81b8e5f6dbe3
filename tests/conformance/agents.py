"""The agents of the profiles: scripted ones, remote ones, and those made for a request."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest

from copilotkit_django.agents import Agent, HttpAgent

from .scripted import ScriptedAgent
from .upstream import HOST

CAPABILITIES = {
    "streaming": {"supported": True},
    "tools": {"supported": True, "clientProvided": True},
}

USUAL: Mapping[str, Agent] = {
    "default": ScriptedAgent("Scripted agent"),
    "researcher": ScriptedAgent("Second scripted agent", CAPABILITIES),
}

ODD_IDS = ("my agent", "émilie", "a/b", "100%", "run", "agent", "日本", "Default")
ODD: Mapping[str, Agent] = {agent_id: ScriptedAgent() for agent_id in ODD_IDS}

WITH_BAD_CAPABILITIES: Mapping[str, Agent] = {
    "ok": ScriptedAgent(),
    "bad": ScriptedAgent(capabilities=RuntimeError("no caps")),
}


def with_remotes(upstream: str) -> Mapping[str, Agent]:
    """The usual agents, and one for each way the server at `upstream` behaves."""
    token = {"Authorization": "Bearer server-token", "X-Static": "s"}
    return {
        **USUAL,
        "remote": HttpAgent(f"{upstream}/echo"),
        "remote-auth": HttpAgent(f"{upstream}/echo", headers=token),
        "remote-500": HttpAgent(f"{upstream}/status500"),
        "remote-401": HttpAgent(f"{upstream}/status401"),
        "remote-notsse": HttpAgent(f"{upstream}/notsse"),
        "remote-drop": HttpAgent(f"{upstream}/drop"),
        "remote-badevent": HttpAgent(f"{upstream}/badevent"),
        "remote-hang": HttpAgent(f"{upstream}/hang"),
        # Nothing listens on port 1.
        "remote-down": HttpAgent(f"http://{HOST}:1/"),
    }


async def by_tenant(request: HttpRequest) -> Mapping[str, Agent]:
    """The agents of the tenant a request names."""
    tenant = request.headers.get("x-tenant")
    if tenant == "broken":
        raise RuntimeError("factory failure")
    if tenant:
        return {f"{tenant}-agent": ScriptedAgent(f"for {tenant}")}
    return {"default": ScriptedAgent("anonymous")}
