"""What agents may do to the to-do list of the visitor they talk to."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated, Any

from django.db.models import QuerySet
from pydantic import Field

from copilotkit_django import ToolContext, ToolError, tool
from copilotkit_django.agents.model_tools import model_tools
from demo_project.models import Todo

LONGEST_LIST = 100

Ids = Annotated[list[int], Field(min_length=1, max_length=LONGEST_LIST)]


def todos_of(context: ToolContext) -> QuerySet[Todo]:
    """The rows of the visitor: no tool finds any other."""
    return Todo.objects.filter(scope=context.scope)


def state(scope: str) -> dict[str, Any]:
    """The part of the database the page shows.

    `revision` grows with time, so that the page can tell a replayed state from a newer one.
    """
    todos = [todo.to_state() for todo in Todo.objects.filter(scope=scope)]
    return {"todos": todos, "revision": time.time_ns() // 1_000_000}


def show(context: ToolContext) -> None:
    """Put the list on the page."""
    context.set_state(state(context.scope))


def belongings(context: ToolContext) -> dict[str, Any]:
    """What a new entry gets besides what is said of it."""
    if todos_of(context).count() >= LONGEST_LIST:
        raise ToolError(f"The list is full: {LONGEST_LIST} entries is all I keep.")
    return {"scope": context.scope}


search_todo, create_todo, change_todo = model_tools(
    Todo,
    name="todo",
    actions=("search", "create", "change"),
    fields=("title", "done"),
    queryset=todos_of,
    defaults=belongings,
    # Visitors are not signed in: whose rows they are is all there is to say.
    permissions=False,
    destructive=(),
    page_size=LONGEST_LIST,
    on_change=show,
)


@tool
def mark_todos(context: ToolContext, ids: Ids, done: bool) -> dict[str, Any]:
    """Mark entries of the list as done, or as open again.

    Args:
        ids: The ids of the entries.
        done: Whether they are done.
    """
    todos = found(context, ids).exclude(done=done)
    titles = [todo.title for todo in todos]
    todos.update(done=done)
    show(context)
    return {"done" if done else "open": titles}


def ask(context: ToolContext, ids: Ids) -> None:
    titles = [todo.title for todo in found(context, ids)]
    question = f"Delete “{titles[0]}”?" if len(titles) == 1 else f"Delete {len(titles)} to-dos?"
    context.require_approval(question, {"action": "delete", "titles": titles})


@tool(destructive=True, approval_message=ask)
def delete_todos(context: ToolContext, ids: Ids) -> dict[str, Any]:
    """Delete entries of the list for good. The user is asked first, by the page itself.

    Args:
        ids: The ids of the entries.
    """
    todos = found(context, ids)
    titles = [todo.title for todo in todos]
    todos.delete()
    show(context)
    return {"deleted": titles}


def found(context: ToolContext, ids: Iterable[int]) -> QuerySet[Todo]:
    """Those of the entries that are the visitor's; one at least."""
    todos = todos_of(context).filter(pk__in=list(ids))
    if not todos:
        raise ToolError("Those entries are not on the list any more.")
    return todos.all()


TODO_TOOLS = (search_todo, create_todo, change_todo, mark_todos, delete_todos)
