"""What is particular to LlamaIndex."""

from __future__ import annotations

import pytest

from copilotkit_django.agents import RunContext
from copilotkit_django.agents.base import RunInput
from tests.frameworks.cases.llama_index import LlamaIndex
from tests.talk import kinds, run_input, text_of

pytestmark = [
    pytest.mark.skipif(
        LlamaIndex.missing() is not None, reason=f"{LlamaIndex.missing()} is not installed"
    ),
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


async def test_runs__leave_no_classes(llm):
    """What is made of the model for a run is made once: classes are never given back."""
    agent = LlamaIndex().agent(llm, "text")

    for number in range(3):
        given = RunInput.from_wire(run_input("Hello", run=f"r{number}"))
        context = RunContext(given, agent_id="default", scope="user:1", thread_key="key")
        events = [event async for event in agent.clone().run(context)]

        assert kinds(events)[-1] == "RUN_FINISHED"
        assert text_of(events) == "You said: Hello"

    assert len(type(agent.llm).__subclasses__()) == 1
