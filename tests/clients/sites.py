"""The endpoints the scenarios talk to. Who calls is whoever the header X-User names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.urls import path

from copilotkit_django.identity import Identity
from copilotkit_django.runtime import Runtime
from copilotkit_django.testing import FakeLLM
from tests.conformance import cors
from tests.conformance.ports import Site
from tests.conformance.speech import FakeTranscription

from .agent import AGENTS
from .model import model_agent

BASE = "api/copilotkit"


def named_user(request: HttpRequest) -> Identity | None:
    name = request.headers.get("x-user")
    return Identity(f"test:{name}") if name else None


def nobody(request: HttpRequest) -> None:
    return None


#: The options of each endpoint's Runtime that are not the usual ones.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "usual": {},
    "superseding": {"concurrent_runs": "supersede"},
    "locked": {"authentication": nobody},
    "hearing": {"transcription_service": FakeTranscription()},
}


def sites(runner: str, llm: FakeLLM) -> dict[str, Site]:
    """All endpoints, by name. What the model of one of them says comes from ``llm``."""
    usual = {
        "agents": AGENTS,
        "authentication": named_user,
        "expose_error_text": False,
        "runner": f"copilotkit_django.runners.{runner}",
    }
    options = {**OPTIONS, "model": {"agents": {"default": model_agent(llm)}}}
    return {
        name: Site(path(BASE, Runtime(**{**usual, **own}).urls), cors.OFF)
        for name, own in options.items()
    }
