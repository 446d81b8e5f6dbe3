from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from copilotkit_django import BuiltInAgent
from copilotkit_django.agents.builtin.models import close_models
from copilotkit_django.runners import InMemoryRunner
from copilotkit_django.runtime import Runtime
from copilotkit_django.testing import FakeLLM
from tests.integration.site import BASE, Caller, Site, by_header

#: A model of each wire format; the prompts of a FakeLLM name it so.
MODELS = {
    "openai": "openai-chat/gpt-test",
    "openai-responses": "openai/gpt-test",
    "anthropic": "anthropic/claude-test",
    "google": "google/gemini-test",
}


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLLM]:
    """A provider of models, which the environment leads to."""
    with FakeLLM() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture(params=MODELS)
def provider(request: pytest.FixtureRequest) -> str:
    """Each of the wire formats."""
    return str(request.param)


@pytest.fixture
async def serve(settings: Any, llm: FakeLLM) -> AsyncIterator[Callable[..., Runtime]]:
    """Put a BuiltInAgent on the site: ``serve("openai/…", tools=[…])``. Options of the endpoint are
    given as ``endpoint``, an agent that is made already as ``agent``."""
    runtimes: list[Runtime] = []

    def mount(
        model: Any = MODELS["openai"],
        *,
        agent: Any = None,
        endpoint: dict[str, Any] | None = None,
        **options: Any,
    ) -> Runtime:
        runtime = Runtime(
            **{
                "agents": {"default": agent or BuiltInAgent(model, **options)},
                "authentication": by_header,
                "runner": InMemoryRunner(),
                "keepalive_seconds": 0,
                "stop_grace_seconds": 1,
                "expose_error_text": False,
                **(endpoint or {}),
            }
        )
        runtimes.append(runtime)
        settings.ROOT_URLCONF = Site({BASE: runtime})
        return runtime

    yield mount
    for runtime in runtimes:
        await runtime.runner.drain()
    await close_models()


@pytest.fixture
def alice() -> Caller:
    return Caller(headers={"x-user": "alice"})
