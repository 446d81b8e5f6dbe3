"""Models by name."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from copilotkit_django.agents.builtin import InvalidModel, MissingExtra, extras
from copilotkit_django.agents.builtin.models import ModelName, build, close_models, get_model


@pytest.mark.parametrize(
    ("text", "provider", "model"),
    [
        ("openai/gpt-5", "openai", "gpt-5"),
        ("openai:gpt-5", "openai", "gpt-5"),
        ("OpenAI/GPT-5", "openai", "GPT-5"),
        ("anthropic/claude-sonnet-4-6", "anthropic", "claude-sonnet-4-6"),
        ("google/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("gemini:gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("google-gemini/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("vertex/gemini-2.5-pro", "google-cloud", "gemini-2.5-pro"),
        ("minimax/MiniMax-M3", "minimax", "MiniMax-M3"),
        ("openrouter/meta/llama:free", "openrouter", "meta/llama:free"),
        ("ollama:llama3:8b", "ollama", "llama3:8b"),
        ("gateway/openai:gpt-5", "gateway/openai", "gpt-5"),
        (" openai / gpt-5 ", "openai", "gpt-5"),
    ],
)
def test_name__read(text, provider, model) -> None:
    """The first sign splits; the provider is read without regard to case, the model as it is."""
    assert ModelName.parse(text) == ModelName(provider, model)


@pytest.mark.parametrize("text", ["", "gpt-5", "openai/", "/gpt-5", "openai:", ":", "gateway/x"])
def test_name__incomplete(text) -> None:
    """A name without a provider or without a model is none."""
    with pytest.raises(InvalidModel, match="provider/model"):
        ModelName.parse(text)


def test_provider__unknown() -> None:
    """A provider nobody knows is refused when the agent is made."""
    from copilotkit_django import BuiltInAgent

    with pytest.raises(InvalidModel, match="'opneai' is no known provider"):
        BuiltInAgent("opneai/gpt-5")


@pytest.mark.parametrize("model", [7, object()])
def test_model__of_the_wrong_type(model) -> None:
    """A model is a name or a model of pydantic-ai."""
    from copilotkit_django import BuiltInAgent

    with pytest.raises(InvalidModel, match="neither"):
        BuiltInAgent(model)


@pytest.mark.parametrize(
    ("model", "package", "extra"),
    [
        ("openai/x", "pydantic_ai", "builtin"),
        ("openai/x", "openai", "openai"),
        ("minimax/x", "openai", "openai"),
        ("anthropic/x", "anthropic", "anthropic"),
        ("google/x", "google.genai", "google"),
        ("vertex/x", "google.genai", "google"),
    ],
)
def test_extra__missing(monkeypatch, model, package, extra) -> None:
    """What is not installed is named, with what to install."""
    from copilotkit_django import BuiltInAgent

    installed = extras._is_installed
    monkeypatch.setattr(
        extras, "_is_installed", lambda module: module != package and installed(module)
    )

    with pytest.raises(MissingExtra, match=rf"copilotkit_django\[{extra}\]"):
        BuiltInAgent(model)


def test_import__brings_no_engine() -> None:
    """Importing the package, and making an agent, imports neither pydantic-ai nor a provider."""
    code = (
        "import sys, copilotkit_django as c; c.BuiltInAgent('openai/gpt-5', prompt='x');"
        "print([m for m in ('pydantic_ai', 'pydantic', 'openai', 'mcp') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"


def test_basic_agent__is_deprecated() -> None:
    """The old name works and says what the new one is."""
    from copilotkit_django import BasicAgent, BuiltInAgent

    with pytest.warns(DeprecationWarning, match="BuiltInAgent"):
        agent = BasicAgent("openai/gpt-5")

    assert isinstance(agent, BuiltInAgent)


@pytest.mark.parametrize(
    ("name", "variables", "url"),
    [
        ("openai/x", {"OPENAI_API_KEY": "k"}, "https://api.openai.com/v1"),
        ("minimax/x", {"MINIMAX_API_KEY": "k"}, "https://api.minimax.io/v1"),
        (
            "minimax/x",
            {"MINIMAX_API_KEY": "k", "MINIMAX_BASE_URL": "https://m.example/v1"},
            "https://m.example/v1",
        ),
        (
            "google/x",
            {
                "GOOGLE_API_KEY": "k",
                "GOOGLE_GENERATIVE_AI_BASE_URL": "https://g.example/v1beta/",
            },
            "https://g.example",
        ),
        (
            "anthropic/x",
            {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "https://a.example"},
            "https://a.example",
        ),
    ],
)
def test_model__where_its_provider_is(monkeypatch, name, variables, url) -> None:
    """The environment of the original says where providers are."""
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)

    model = build(ModelName.parse(name))

    assert model.base_url.rstrip("/") == url


@pytest.mark.parametrize("name", ["openai/x", "anthropic/x", "google/x", "minimax/x"])
def test_model__without_a_key(monkeypatch, name) -> None:
    """Without a key there is no model; the error names the variable."""
    for variable in ("OPENAI", "ANTHROPIC", "GOOGLE", "GEMINI", "MINIMAX"):
        monkeypatch.delenv(f"{variable}_API_KEY", raising=False)
        monkeypatch.delenv(f"{variable}_BASE_URL", raising=False)

    with pytest.raises(InvalidModel, match="_API_KEY"):
        build(ModelName.parse(name))


async def test_model__kept_for_its_loop() -> None:
    """Runs on one loop share a model and its connections; another key is another model."""
    name = ModelName.parse("openai/x")

    first = await get_model(name, "k1")

    assert await get_model(name, "k1") is first
    assert await get_model(name, "k2") is not first
    await close_models()
    assert first.client.is_closed()
    assert await get_model(name, "k1") is not first
    await close_models()


def test_first_run__imports_off_the_loop() -> None:
    """The engine, the client of the provider and that of MCP are imported while others run on."""
    code = """
import asyncio, os, sys, threading
os.environ |= {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
import django
django.setup()
from copilotkit_django import BuiltInAgent, RunContext, RunInput

here = threading.get_ident()
found = set()

def spy(event, details):
    watched = ("pydantic_ai", "openai", "fastmcp")
    if event == "import" and details[0] in watched and threading.get_ident() == here:
        found.add(details[0])

sys.addaudithook(spy)
sys.dont_write_bytecode = True
agent = BuiltInAgent(
    "openai/x", max_retries=0, mcp_servers=[{"type": "http", "url": "http://127.0.0.1:1/mcp"}]
)
tool = {"name": "t", "description": "", "parameters": {}}
message = {"id": "u", "role": "user", "content": "hi"}

async def main():
    given = RunInput("t", "r", messages=[message], tools=[tool], forwarded_props={})
    try:
        async for event in agent.run(RunContext(given, "default")):
            pass
    except Exception as error:
        print("failed")

asyncio.run(main())
print(sorted(found), "openai" in sys.modules, "fastmcp" in sys.modules)
"""

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )

    assert done.stdout.splitlines() == ["failed", "[] True True"], done.stderr
