"""What is particular to Agno."""

from __future__ import annotations

import pytest

from copilotkit_django.agents import RunContext
from copilotkit_django.agents.base import RunInput
from tests.frameworks.cases.agno import Agno
from tests.talk import kinds, run_input

pytestmark = [
    pytest.mark.skipif(Agno.missing() is not None, reason=f"{Agno.missing()} is not installed"),
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(params=["Agent", "Team"])
def agent(request, llm):
    """An agent or a team with a memory."""
    from agno.agent import Agent
    from agno.db.in_memory import InMemoryDb
    from agno.models.openai import OpenAIChat
    from agno.team import Team

    from copilotkit_django.contrib.agno import AgnoAgent

    options = {
        "name": "assistant",
        "model": OpenAIChat(id="gpt-5", base_url=llm.base_url(), api_key="any", max_retries=0),
        "db": InMemoryDb(),
        "add_history_to_context": True,
        "telemetry": False,
    }
    if request.param == "Team":
        return AgnoAgent(Team(members=[], **options))
    return AgnoAgent(Agent(**options))


async def test_memory__of_who_signs_in(agent, llm):
    """The thread of a visitor who signs in is remembered, and so is what they say then."""

    async def say(text, scope):
        given = RunInput.from_wire(run_input(text, run=text))
        context = RunContext(given, agent_id="default", scope=scope, thread_key="key")
        return kinds([event async for event in agent.clone().run(context)])

    for text, scope in (("One", "anon:1"), ("Two", "user:1"), ("Three", "user:1")):
        assert (await say(text, scope))[-1] == "RUN_FINISHED"

    said = [message.text for message in llm.prompts[2].messages if message.role == "user"]
    assert said == ["One", "Two", "Three"]
