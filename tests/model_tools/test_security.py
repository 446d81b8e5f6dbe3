"""What the tools of a model never do, whatever a language model was talked into."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection

from copilotkit_django.agents.model_tools import model_tools
from tests.planner.models import Comment, Project, Task

from .conftest import ALL, Desk, grant, tasks

CALLS = {
    "search_task": {},
    "get_task": {"id": 1},
    "create_task": {"title": "x"},
    "change_task": {"id": 1, "changes": {"title": "x"}},
    "delete_task": {"id": 1},
}
NEEDS = dict(zip(CALLS, ("view_task", *ALL), strict=True))


@pytest.mark.parametrize("name", CALLS)
async def test_permission__missing(transactional_db, name):
    """All other permissions do not help."""
    user = await User.objects.acreate_user("eve")
    others = [permission for permission in ALL if permission != NEEDS[name]]
    await sync_to_async(grant)(user, *others)

    assert "no permission" in await Desk(user).fail(name, **CALLS[name])


@pytest.mark.parametrize("user", [None, AnonymousUser()])
@pytest.mark.parametrize("name", CALLS)
async def test_permission__anonymous(transactional_db, name, user):
    """Whoever is not signed in has none."""
    assert "no permission" in await Desk(user).fail(name, **CALLS[name])


async def test_permission__inactive(alice):
    """An account that was closed a minute ago is closed."""
    alice.user.is_active = False

    assert "no permission" in await alice.fail("search_task")


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("name", ["get_task", "change_task", "delete_task"])
async def test_foreign_row(alice, bob, name, approved):
    """Another's object is not found, in the very words used for what never existed."""
    task = await Task.objects.acreate(owner=bob.user, title="Secret plan")
    alice.approves = approved
    arguments = {"changes": {"title": "mine"}} if name == "change_task" else {}

    said = await alice.fail(name, id=task.pk, **arguments)
    never = await alice.fail(name, id=task.pk + 1000, **arguments)

    assert said.replace(str(task.pk), "N") == never.replace(str(task.pk + 1000), "N")
    await task.arefresh_from_db()
    assert task.title == "Secret plan"


async def test_foreign_row__search(alice, bob):
    """A search finds one's own."""
    await Task.objects.acreate(owner=bob.user, title="Secret plan")

    assert (await alice.do("search_task", query="plan"))["results"] == []


async def test_foreign_reference(alice, bob):
    """Nothing can be hung on what belongs to somebody else."""
    foreign = await Project.objects.acreate(owner=bob.user, name="Theirs")
    own = await Project.objects.acreate(owner=alice.user, name="Mine")
    task = await alice.do("create_task", title="Paint", project=own.pk)

    changes = {"project": foreign.pk}
    assert "no such object" in await alice.fail("change_task", id=task["id"], changes=changes)
    assert "no such object" in await alice.fail("create_task", title="Dig", project=foreign.pk)
    assert (await alice.do("get_task", id=task["id"]))["project"] == own.pk


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        # Fields that were not named.
        ("search_task", {"where": {"secret": "hunter2"}}),
        ("search_task", {"where": {"owner": 1}}),
        ("search_task", {"order_by": ["secret"]}),
        ("search_task", {"order_by": ["-owner__password"]}),
        ("search_task", {"at_least": {"secret": "a"}}),
        ("create_task", {"title": "x", "secret": "mine"}),
        ("create_task", {"title": "x", "owner": 2}),
        ("create_task", {"title": "x", "owner_id": 2}),
        ("create_task", {"title": "x", "id": 7}),
        ("change_task", {"id": 1, "changes": {"owner": 2}}),
        ("change_task", {"id": 1, "changes": {"pk": 2}}),
        ("change_task", {"id": 1, "changes": {"project_id": 2}}),
        ("change_task", {"id": 1, "changes": {"project__name": "x"}}),
        ("get_task", {"pk": 1}),
        ("get_task", {"id": 1, "secret": "hunter2"}),
        # Lookups and joins.
        ("search_task", {"where": {"title__contains": "x"}}),
        ("search_task", {"where": {"secret__startswith": "h"}}),
        ("search_task", {"where": {"owner__password__startswith": "pbkdf2"}}),
        ("search_task", {"where": {"project__owner__email": "x"}}),
        ("search_task", {"where": {"project__name__regex": "(a+)+$"}}),
        ("search_task", {"at_most": {"due__year": 2026}}),
        ("search_task", {"where": {"tags__0": "x"}}),
        ("search_task", {"where": {"tags": []}}),
        ("search_task", {"order_by": ["?"]}),
        ("search_task", {"order_by": ["pk"]}),
        ("search_task", {"order_by": ["project"]}),
        ("search_task", {"order_by": ["title) --"]}),
        ("get_task", {"id__gt": 0}),
        # Values that are no values.
        ("get_task", {"id": {"gt": 0}}),
        ("get_task", {"id": "1 OR 1=1"}),
        ("get_task", {"id": [1, 2]}),
        ("get_task", {"id": None}),
        ("delete_task", {"id": True}),
        ("delete_task", {"id": 1.5}),
        ("get_task", {"id": 2**70}),
        ("search_task", {"where": {"title": {"contains": "x"}}}),
        ("search_task", {"where": {"title": ["a"]}}),
        ("search_task", {"page": 0}),
        ("search_task", {"page": -1}),
        ("search_task", {"page_size": 10_000}),
        ("create_task", {"title": {"toString": 1}}),
        ("create_task", {"title": "x", "effort": "NaN"}),
        ("create_task", {"title": "x", "percent": -1}),
    ],
)
async def test_injection(alice, name, arguments):
    """Names that were not offered and values that are none never get as far as the database."""
    asked = []

    def rows(context):
        asked.append(name)
        return Task.objects.filter(owner=context.user)

    alice.tools = tasks(queryset=rows)

    said = await alice.fail(name, **arguments)

    assert said.startswith("Invalid arguments.")
    assert asked == []
    assert "hunter2" not in said


async def test_injection__in_values(alice):
    """What looks like SQL or a pattern is a text like any other."""
    nasty = "'; DROP TABLE planner_task; -- % _ \\"
    made = await alice.do("create_task", title=nasty)

    assert (await alice.do("get_task", id=made["id"]))["title"] == nasty
    found = await alice.do("search_task", query="%")
    assert [task["title"] for task in found["results"]] == [nasty]
    await alice.do("create_task", title="plain")
    assert len((await alice.do("search_task", query="_"))["results"]) == 1


async def test_unnamed_fields__never_read(alice, monkeypatch):
    """The database is not even asked for a field that was not named."""
    await Task.objects.acreate(owner=alice.user, title="Paint")
    statements = []

    def watch(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    def rows(context):
        # On the thread that reads: wrappers belong to a connection.
        connection.execute_wrappers.append(watch)
        return Task.objects.filter(owner=context.user)

    alice.tools = tasks(queryset=rows)
    await alice.do("search_task", query="pai", where={"done": False}, order_by=["due"])
    await alice.do("get_task", id=(await Task.objects.aget()).pk)

    assert any("planner_task" in sql for sql in statements)
    assert not [sql for sql in statements if "secret" in sql]


async def test_unnamed_field__invalid(alice, caplog):
    """What is wrong with a field that was not named is for the log, not for the model."""
    alice.tools = tasks(
        defaults=lambda context: {"owner": context.user, "secret": "forbidden"},
    )

    said = await alice.fail("create_task", title="Paint")

    assert said == "Another field of the task is invalid."
    assert "Not hunter2, please." in caplog.text


async def test_defaults__no_such_field(alice, caplog):
    """A slip of the project's is an incident, not a hint to the model."""
    alice.tools = tasks(defaults=lambda context: {"owners": context.user})

    assert "Incident" in await alice.fail("create_task", title="Paint")
    assert "Task has no field owners." in caplog.text


async def test_create__outside_of_the_rows(alice, bob):
    """Nothing is made that its maker could not find again."""
    alice.tools = tasks(defaults=lambda context: {"owner_id": bob.user.pk})

    assert "not the user's" in await alice.fail("create_task", title="Paint")
    assert await Task.objects.acount() == 0


async def test_change__out_of_the_rows(alice):
    """Nothing is moved to where its owner could not find it again."""
    alice.tools = tasks(
        queryset=lambda context: Task.objects.filter(owner=context.user, done=False)
    )
    task = await Task.objects.acreate(owner=alice.user, title="Paint")

    changes = {"done": True, "percent": 100}
    assert "not the user's" in await alice.fail("change_task", id=task.pk, changes=changes)
    await task.arefresh_from_db()
    assert not task.done


async def test_delete__what_belongs_to_it(alice):
    """Whoever may not delete comments does not do so by way of their task."""
    task = await Task.objects.acreate(owner=alice.user, title="Paint")
    await Comment.objects.acreate(task=task, text="blue")

    for alice.approves in (False, True):
        said = await alice.fail("delete_task", id=task.pk)
        assert said == (
            "The user has no permission to delete the comments that belong to this task."
        )
    assert await Task.objects.acount() == 1


async def test_without_permissions(bob):
    """A project may do without permissions, if it says whose rows they are."""
    tools = model_tools(
        Task,
        fields=["title"],
        permissions=False,
        queryset=lambda context: Task.objects.filter(owner=bob.user),
    )
    await Task.objects.acreate(owner=bob.user, title="Paint")

    found = await Desk(None, tools).do("search_task")

    assert [task["title"] for task in found["results"]] == ["Paint"]
