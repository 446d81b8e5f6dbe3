"""What the page on tools says is so."""

from __future__ import annotations

import datetime
import json
from types import SimpleNamespace

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from django.core.cache import cache

from copilotkit_django import tool
from copilotkit_django.agents import RunContext, RunInput, ToolContext
from copilotkit_django.agents.tools import ApprovalRequired, Tool
from copilotkit_django.signals import tool_called
from tests.planner.models import Project, Task
from tests.talk import kinds, run_input, until, within

from .pages import Page

added: list[str] = []


@tool
def add_task(title: str) -> str:
    added.append(title)
    return "added"


@tool(destructive=True)
def clear_tasks() -> str:
    added.clear()
    return "cleared"


page = Page(
    "how-to/tools.md",
    planner__models={"Task": Task, "Project": Project},
    mysite__tools={"add_task": add_task, "clear_tasks": clear_tasks},
)

in_database = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada(transactional_db) -> User:
    user = User.objects.create_user("ada")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="planner"))
    home = Project.objects.create(owner=user, name="Home")
    Task.objects.create(owner=user, title="Paint", project=home, priority=2)
    return user


def context_of(user, *, approved: bool = False) -> ToolContext:
    run = RunContext(RunInput.from_wire(run_input()), agent_id="default", user=user)
    return ToolContext(run, "call-1", approved=approved)


async def call(made: Tool, user, /, *, approved: bool = False, **arguments):
    return await within(made.call(arguments, context_of(user, approved=approved)))


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


@page("Write one")
async def test_write(project, ada):
    """The tool does what it says, for whom it may, and tells what is wrong."""
    postpone = project["mysite.tools"].postpone

    result = await call(postpone, ada, title="Paint", until="2026-12-24", priority="low")
    assert json.loads(result.content) == {"title": "Paint", "due": "2026-12-24"}
    task = await Task.objects.aget()
    assert (task.due, task.priority) == (datetime.date(2026, 12, 24), 1)

    result = await call(postpone, ada, title="Pain", until="2026-12-24")
    assert result.content == "There is no task 'Pain'. Search for it first."
    assert (await call(postpone, None, title="Paint", until="2026-12-24")).error
    assert "until" in (await call(postpone, ada, title="Paint", until="soon")).content
    assert set(postpone.parameters["properties"]) == {"title", "until", "priority"}
    context = context_of(ada)
    day = datetime.date(2026, 1, 1)
    assert (await sync_to_async(postpone)(context, "Paint", day))["due"] == day


@page("Ask the person first")
async def test_ask(project, ada):
    """The person is asked with the right words, and what they agree to is done."""
    tools = project["mysite.tools"]

    with pytest.raises(ApprovalRequired, match=r"Delete 1 tasks of Home\?"):
        await call(tools.clear_project, ada, project="Home")
    result = await call(tools.clear_project, ada, approved=True, project="Home")
    assert result.content == "1 deleted."

    assert (await call(tools.plan, ada, project="Home", hours=8)).content == "Planned."
    with pytest.raises(ApprovalRequired, match=r"Plan 80 hours for Home\?"):
        await call(tools.plan, ada, project="Home", hours=80)
    assert (tools.pick_day.interrupt, tools.pick_day.interrupt_reason) == (True, "pick_day")


@page("Tell the page")
async def test_tell(project, ada):
    """The page gets all of it, in order."""
    context = context_of(ada)

    result = await within(project["mysite.tools"].tidy.call({}, context))

    assert result.content == "1 tidied."
    events = context.session.take()
    assert kinds(events) == ["ACTIVITY_SNAPSHOT", "STATE_SNAPSHOT", "STATE_DELTA", "CUSTOM"]
    assert context.state == {"tidied": ["Paint"], "count": 1}


@page("Tools for a model")
async def test_model_tools(project, ada):
    """The five tools are there, and work on the rows of the caller."""
    tools = {made.name: made for made in project["mysite.tools"].task_tools}
    assert list(tools) == [
        "search_task",
        "get_task",
        "create_task",
        "change_task",
        "delete_task",
    ]

    assert not (await call(tools["create_task"], ada, title="Call Bob", priority=2)).error
    found = await call(tools["search_task"], ada, where={"project__name": "Home"})
    assert [task["title"] for task in json.loads(found.content)["results"]] == ["Paint"]


@page("Call them from an agent of your own")
async def test_own_agent(project, alice):
    """The agent adds at once, and clears after a yes."""
    added.clear()

    events = (await alice.run(run_input("milk"))).events
    assert kinds(events)[-2:] == ["TOOL_CALL_RESULT", "RUN_FINISHED"]
    assert added == ["milk"]

    wire = run_input("clear", run="r2")
    events = (await alice.run(wire)).events
    [interrupt] = events[-1]["outcome"]["interrupts"]
    assert interrupt["message"] == "May I call clear_tasks?"
    assert added == ["milk"]

    asked = {"name": "clear_tasks", "arguments": "{}"}
    calls = [{"id": interrupt["id"], "type": "function", "function": asked}]
    wire["messages"].append({"id": "a", "role": "assistant", "toolCalls": calls})
    answer = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}
    events = (await alice.run({**wire, "resume": [answer]})).events
    assert kinds(events) == ["RUN_STARTED", "TOOL_CALL_RESULT", "RUN_FINISHED"]
    assert added == []


@page("Know what was called")
async def test_receiver(project):
    """The receiver counts."""
    receive = project["mysite.receivers"].count
    try:
        user = SimpleNamespace(pk=7)
        assert tool_called.has_listeners(Tool)
        await call(add_task, user, title="milk")
        await until_counted("add_task-ok", 1)
        await call(add_task, user, titel="milk")
        await until_counted("add_task-invalid", 1)
    finally:
        tool_called.disconnect(receive)
        await cache.aclear()


async def until_counted(key: str, count: int) -> None:
    await until(lambda: cache.get(key) == count)
