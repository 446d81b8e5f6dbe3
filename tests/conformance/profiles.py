"""The profiles: how a server is configured for the cases recorded with that configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import path, re_path

from copilotkit_django.runners import AgentRunner
from copilotkit_django.runtime import Runtime

from . import agents, cors, middleware
from .case import SLOWNESS
from .hooks import RecordingHooks
from .ports import Site
from .speech import FakeTranscription
from .threadless import Threadless
from .upstream import start_upstream

BASE = "api/copilotkit"

#: What a profile does not say otherwise.
USUAL: Mapping[str, Any] = {
    "agents": agents.USUAL,
    "authentication": "anonymous-shared",
    "expose_error_text": True,
}


def options() -> dict[str, Mapping[str, Any]]:
    """The options of each profile's Runtime that are not the usual ones."""
    remotes = {"agents": agents.with_remotes(start_upstream())}
    return {
        "multi": {},
        # Both transports are served everywhere.
        "single": {},
        "nocors": {},
        "cors-list": {},
        "cors-credentials": {},
        "cors-string": {},
        "nobase": {},
        "transcribe": {"transcription_service": FakeTranscription()},
        "single-transcribe": {"transcription_service": FakeTranscription()},
        "hooks": {"hooks": RecordingHooks()},
        "single-hooks": {"hooks": RecordingHooks()},
        "middleware": {
            "before_request_middleware": middleware.before_request,
            "after_request_middleware": middleware.after_request,
        },
        "debug": {"debug_events": True},
        "memory": {"expose_memory_routes": True},
        "factory": {"agents": agents.by_tenant},
        "forward": remotes,
        "forward-allow": {
            **remotes,
            "forward_headers": {
                "allow": ["cookie", "X-Keep", "x-forwarded-for"],
                "deny": ["x-keep-not"],
            },
        },
        "forward-deny": {
            **remotes,
            "forward_headers": {"deny": ["X-Secret"], "deny_prefixes": ["x-int-"]},
        },
        "forward-open": {**remotes, "forward_headers": {"use_default_denylist": False}},
        "supersede": {"concurrent_runs": "supersede"},
        "keepalive": {"keepalive_seconds": 0.2 * SLOWNESS},
        "oddids": {"agents": agents.ODD},
        "features": {"a2ui": ["researcher"], "open_generative_ui": True},
        "badcaps": {"agents": agents.WITH_BAD_CAPABILITIES},
    }


CORS: Mapping[str, cors.CorsSettings] = {
    "nocors": cors.OFF,
    "cors-list": cors.TWO_ORIGINS,
    "cors-credentials": cors.ANY_ORIGIN_WITH_COOKIES,
    "cors-string": cors.ONE_ORIGIN,
}


def sites(runner: AgentRunner) -> dict[str, Site]:
    """Every profile by name, over the store of one runner."""
    runtimes = {
        name: Runtime(**{**USUAL, "runner": runner, **own}) for name, own in options().items()
    }
    runtimes["sqlite"] = Runtime(**USUAL, runner=Threadless(runner))
    return {name: site(name, runtime) for name, runtime in runtimes.items()}


def site(name: str, runtime: Runtime) -> Site:
    # Without a base path routes match as the end of any path.
    mount = re_path("^", runtime.urls) if name == "nobase" else path(BASE, runtime.urls)
    return Site(mount, CORS.get(name, cors.ANY_ORIGIN))
