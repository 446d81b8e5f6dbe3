"""Which model the demo's fourth agent answers with, if there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

ASK = """
import json
from demo_project.agents.model import model_agent, model_name
from demo_project.views import agents
print(json.dumps([model_name(), model_agent() is not None, [about["id"] for about in agents()]]))
"""
LIST = ["default", "writer", "remote"]


def asked(**keys: str):
    """What a demo with these keys in its environment says: in a process of its own settings."""
    foreign = ("OPENAI_", "ANTHROPIC_", "GOOGLE_", "DEMO_", "DJANGO_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", ASK],
        env={**environment, **keys},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"OPENAI_API_KEY": "k"}, "openai/gpt-5-mini"),
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic/claude-haiku-4-5"),
        ({"GOOGLE_API_KEY": "k"}, "google/gemini-2.5-flash"),
        ({"OPENAI_API_KEY": "k", "DEMO_MODEL": "openai/gpt-5"}, "openai/gpt-5"),
    ],
)
def test_model__by_key(keys, name):
    """Each key brings the agent, on a model of its provider, or the one that is named."""
    assert asked(**keys) == [name, True, [*LIST, "model"]]


@pytest.mark.parametrize("keys", [{}, {"OPENAI_API_KEY": ""}, {"DEMO_MODEL": "openai/gpt-5"}])
def test_model__no_key(keys):
    """Without a key nothing changes."""
    assert asked(**keys) == [None, False, LIST]


def test_model__no_such_provider():
    """A slip in the name costs the agent, not the demo."""
    name = "nobody/nothing"

    assert asked(OPENAI_API_KEY="k", DEMO_MODEL=name) == [name, False, LIST]
