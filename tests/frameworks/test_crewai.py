"""What is particular to CrewAI."""

from __future__ import annotations

import pytest

from copilotkit_django.testing import Text, ToolCall
from tests.frameworks import tools
from tests.frameworks.cases.crewai import CrewAI, flow
from tests.frameworks.talk import Page

pytestmark = [
    pytest.mark.skipif(CrewAI.missing() is not None, reason=f"{CrewAI.missing()} is not installed"),
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ImportWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def page(alice):
    return Page(alice)


@pytest.fixture
def assistant(llm, serve):
    from copilotkit_django.contrib.crewai import CrewAIAgent

    serve(agents={"default": CrewAIAgent(flow(llm.base_url())())}, stop_grace_seconds=5)


@pytest.fixture
def researchers(llm, serve):
    """A crew of one, and a model that chats about it."""
    from crewai import LLM, Agent, Crew, Task

    from copilotkit_django.contrib.crewai import CrewAIAgent

    model = LLM(model="openai/gpt-4.1", base_url=llm.base_url(), api_key="any")
    researcher = Agent(role="Researcher", goal="Know it all.", backstory="Old.", llm=model)
    task = Task(
        description="Find out about {topic}.", expected_output="A sentence.", agent=researcher
    )
    crew = Crew(agents=[researcher], tasks=[task], chat_llm=model, name="researchers")

    def script(prompt):
        names = prompt.tool_names
        if prompt.tool_results:
            return Text(f"They found: {prompt.tool_results[0].text}")
        if "researchers" in names and prompt.last_user_text.startswith("find"):
            return ToolCall("researchers", {"topic": prompt.last_user_text.removeprefix("find ")})
        if "Current Task" in prompt.last_user_text:
            return Text("Thought: I know.\nFinal Answer: Owls do not swim.")
        return Text("Ask me anything.")

    llm.script = script
    serve(agents={"default": CrewAIAgent(crew, name="researchers")}, stop_grace_seconds=5)


async def test_interrupt__names_nothing_of_ours(assistant, page, bob):
    """Neither the id of an interrupt nor what is with it names the thread among all owners."""
    from copilotkit_django.keys import thread_key

    asked = await page.say('call wipe {"what": "all"}')
    [interrupt] = asked.interrupts
    theirs = await Page(bob).resume(interrupt, "approved")

    assert thread_key("user:alice", "t1").encode() not in asked.body
    assert theirs.last["type"] == "RUN_ERROR"
    assert tools.wiped == []


async def test_interrupt__not_answered(assistant, page):
    """Not to answer is not the first of the possible answers."""
    [interrupt] = (await page.say('call wipe {"what": "all"}')).interrupts

    entry = {"interruptId": interrupt["id"], "status": "cancelled"}
    heard = await page.hear(await page.begin(None, resume=[entry]))

    assert heard.last["type"] == "RUN_FINISHED"
    assert tools.wiped == []


async def test_state__what_is_the_bridges(assistant, llm, page):
    """The page neither sees nor sets what the bridge keeps in the state of a flow."""
    page.state = {
        "title": "Old",
        "id": "another",
        "messages": [{"role": "user", "content": "4711"}],
    }

    heard = await page.say('call set_title {"title": "New"}')

    snapshots = [each["snapshot"] for each in heard.events if each["type"] == "STATE_SNAPSHOT"]
    assert snapshots[-1] == {"title": "New"}
    assert "4711" not in str(llm.prompts[0].body)


async def test_crew__chatted_with(researchers, page):
    """A model chats with the user, calls the crew, and tells what it found."""
    hello = await page.say("Hello")
    heard = await page.say("find owls")

    assert hello.text == "Ask me anything."
    assert [name for name, _, _ in heard.calls] == ["researchers"]
    assert "Owls do not swim." in heard.text


async def test_crew__of_several_users(researchers, page, bob, llm):
    """What one owner asks a crew for, another never hears."""
    await page.say("find owls")
    heard = await Page(bob).say("Hello")

    assert "owls" not in heard.text.lower()
    assert "owls" not in str(llm.prompts[-1].body).lower()
