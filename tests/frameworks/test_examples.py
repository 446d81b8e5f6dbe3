"""The examples, run as their first lines say, with a fake provider."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from copilotkit_django.testing import FakeLLM

EXAMPLES = Path(__file__).parents[2] / "examples"

#: What an example needs, where its name does not say: the first word before ``_``.
NEEDS = {
    "adk_agent": "ag_ui_adk",
    "agent_framework_agent": "agent_framework",
    "llama_index_agent": "llama_index",
    "pydantic_ai_agent": "pydantic_ai",
}

#: To whom it is better not to say that a tool is to be called: there is none.
PLAIN = ("a2a_agent", "crewai_flow")

SECONDS = 100


def examples():
    for path in sorted(EXAMPLES.glob("*.py")):
        module = NEEDS.get(path.stem, path.stem.partition("_")[0])
        missing = importlib.util.find_spec(module) is None
        skip = pytest.mark.skipif(missing, reason=f"{module} is not installed")
        yield pytest.param(path, id=path.stem, marks=skip)


@pytest.fixture
def remote(llm):
    """An A2A agent, for the example that talks to one."""
    if importlib.util.find_spec("a2a") is None:
        yield ""
        return
    from tests.frameworks.a2a_server import Assistant, Server

    server = Server(Assistant(llm.base_url()))
    yield server.url
    server.stop()


@pytest.fixture
def llm():
    with FakeLLM() as llm:
        yield llm


@pytest.mark.parametrize("example", list(examples()))
@pytest.mark.filterwarnings("default")
def test_example__from_the_terminal(example, llm, remote, tmp_path):
    """It fits on a page, starts, and answers with what the model says, and its tool."""
    plain = example.stem in PLAIN
    says = "Hello" if plain else 'call weather {"city": "Rome"}'
    environment = {
        **os.environ,
        **llm.environment(),
        "A2A_URL": remote,
        "CREWAI_DISABLE_TELEMETRY": "true",
        "CREWAI_STORAGE_DIR": str(tmp_path),
        "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        "PYTHONPATH": str(EXAMPLES.parent),
    }

    found = subprocess.run(
        [sys.executable, str(example), "copilotkit_agents", "default", says],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )

    assert found.returncode == 0, found.stderr
    expected = "You said: Hello" if plain else "It is sunny in Rome."
    assert expected in found.stdout, found.stderr
    assert example.read_text().count("\n") < 40
