"""A planner with two users, and their tools."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from copilotkit_django.agents import RunContext, RunInput, Tool, ToolContext, ToolResult
from copilotkit_django.agents.model_tools import model_tools
from tests.planner.models import Project, Task
from tests.talk import run_input, within

FIELDS = (
    "title",
    "notes",
    "done",
    "due",
    "remind_at",
    "effort",
    "priority",
    "percent",
    "tags",
    "project",
    "project__name",
)


def tasks(**options: Any) -> list[Tool]:
    """The tools of the planner, as a careful project would offer them."""
    return model_tools(
        Task,
        **{
            "fields": FIELDS,
            "queryset": lambda context: Task.objects.filter(owner=context.user),
            "defaults": lambda context: {"owner": context.user},
            "related": {"project": lambda context: Project.objects.filter(owner=context.user)},
            **options,
        },
    )


@dataclass
class Desk:
    """Somebody at work with tools: what calls of theirs come to."""

    user: Any
    tools: list[Tool] = field(default_factory=tasks)
    approves: bool = True
    last: ToolContext | None = None

    async def call(self, name: str, /, **arguments: Any) -> ToolResult:
        [tool] = [tool for tool in self.tools if tool.name == name]
        run = RunContext(RunInput.from_wire(run_input()), agent_id="default", user=self.user)
        self.last = ToolContext(run, "call-1", approved=self.approves)
        return await within(tool.call(arguments, self.last))

    async def do(self, name: str, /, **arguments: Any) -> Any:
        """What a call that succeeds returns."""
        result = await self.call(name, **arguments)
        assert not result.error, result.content
        return json.loads(result.content)

    async def fail(self, name: str, /, **arguments: Any) -> str:
        """What is said about a call that fails."""
        result = await self.call(name, **arguments)
        assert result.error, result.content
        return result.content


def grant(user: User, *permissions: str) -> None:
    for permission in permissions:
        user.user_permissions.add(Permission.objects.get(codename=permission))


ALL = ("view_task", "add_task", "change_task", "delete_task")


@pytest.fixture
def alice(transactional_db) -> Desk:
    user = User.objects.create_user("alice")
    grant(user, *ALL)
    return Desk(user)


@pytest.fixture
def bob(transactional_db) -> Desk:
    user = User.objects.create_user("bob")
    grant(user, *ALL)
    return Desk(user)
