"""What the tools of a model do for whom they belong to."""

from __future__ import annotations

import datetime
import decimal
import itertools

import pytest
from django.contrib.auth.models import User
from django.db import connection

from copilotkit_django import ToolContext
from copilotkit_django.agents.model_tools import model_tools
from copilotkit_django.agents.model_tools.rows import Table
from copilotkit_django.agents.tools import ApprovalRequired
from tests.planner.models import Book, Comment, Invoice, Project, Task

from .conftest import Desk, grant, tasks


async def add(desk: Desk, title: str, **more: object) -> Task:
    return await Task.objects.acreate(owner=desk.user, title=title, **more)


async def test_create(alice):
    """An object is made of what was said, of defaults, and of what belongs to the caller."""
    made = await alice.do(
        "create_task",
        title="Write report",
        due="2026-12-01",
        remind_at="2026-11-30T08:00:00Z",
        effort=1.5,
        priority=2,
        tags=["work"],
    )

    task = await Task.objects.select_related("owner").aget(pk=made["id"])
    assert (task.owner, task.title, task.secret) == (alice.user, "Write report", "hunter2")
    assert (task.due, task.effort) == (datetime.date(2026, 12, 1), decimal.Decimal("1.50"))
    assert made == {
        "id": task.pk,
        "title": "Write report",
        "notes": "",
        "done": False,
        "due": "2026-12-01",
        "remind_at": "2026-11-30T08:00:00Z",
        "effort": "1.50",
        "priority": 2,
        "percent": 0,
        "tags": ["work"],
        "project": None,
        "project__name": None,
    }


async def test_create__defaults(alice):
    """What the project sets is set where the model says nothing."""
    alice.tools = tasks(defaults=lambda context: {"owner": context.user, "notes": "new"})

    assert (await alice.do("create_task", title="Paint"))["notes"] == "new"
    assert (await alice.do("create_task", title="Call", notes="Bob"))["notes"] == "Bob"


async def test_get(alice):
    """The named fields, those of a project included, and no others."""
    project = await Project.objects.acreate(owner=alice.user, name="Home")
    task = await add(alice, "Paint", project=project)

    found = await alice.do("get_task", id=task.pk)

    assert (found["project"], found["project__name"]) == (project.pk, "Home")
    assert not {"secret", "owner"} & found.keys()


async def test_change(alice):
    """What is named changes, the rest stays."""
    task = await add(alice, "Paint", notes="blue", due=datetime.date(2026, 1, 1))

    changed = await alice.do("change_task", id=task.pk, changes={"notes": "red", "due": None})

    assert (changed["title"], changed["notes"], changed["due"]) == ("Paint", "red", None)


async def test_change__nothing(alice):
    """A model that changes nothing is told so."""
    task = await add(alice, "Paint")

    assert "nothing to change" in await alice.fail("change_task", id=task.pk, changes={})


async def test_delete(alice):
    """The object goes, and what belongs to it."""
    task = await add(alice, "Paint")
    await Task.objects.acreate(owner=alice.user, title="Buy paint", parent=task)

    assert await alice.do("delete_task", id=task.pk) == {"deleted": {"id": task.pk}}

    assert await Task.objects.acount() == 0


async def test_delete__given_away(alice, bob, monkeypatch):
    """What becomes another's between being found and being locked is not there any more."""
    task = await add(alice, "Call")
    database = Table.database

    def give_away(table: Table, context: ToolContext) -> str:
        if connection.in_atomic_block:
            Task.objects.filter(pk=task.pk).update(owner=bob.user)
        return database(table, context)

    monkeypatch.setattr(Table, "database", give_away)

    assert "There is no task" in await alice.fail("delete_task", id=task.pk)
    monkeypatch.undo()
    assert await Task.objects.filter(pk=task.pk).aexists()


async def test_delete__protected(alice):
    """What others need stays, and the model is told."""
    task = await add(alice, "Paint")
    await Invoice.objects.acreate(task=task)

    assert "it stays" in await alice.fail("delete_task", id=task.pk)
    alice.approves = False
    assert "it stays" in await alice.fail("delete_task", id=task.pk)


class TestSearch:
    @pytest.fixture
    async def planner(self, alice):
        home = await Project.objects.acreate(owner=alice.user, name="Home")
        await add(alice, "Paint the wall", notes="in blue", project=home, effort=3)
        await add(alice, "Buy paint", done=True, percent=100, due=datetime.date(2026, 3, 1))
        await add(alice, "Call Bob", priority=2, due=datetime.date(2026, 4, 1), effort=1)
        return alice

    @pytest.mark.parametrize(
        ("arguments", "titles"),
        [
            ({}, ["Buy paint", "Call Bob", "Paint the wall"]),
            ({"query": "paint"}, ["Buy paint", "Paint the wall"]),
            ({"query": "BLUE wall"}, ["Paint the wall"]),
            ({"query": "home"}, ["Paint the wall"]),
            ({"query": "100%"}, []),
            ({"where": {"done": True}}, ["Buy paint"]),
            ({"where": {"title": "Call Bob"}}, ["Call Bob"]),
            ({"where": {"priority": 2, "done": True}}, []),
            ({"where": {"due": None}}, ["Paint the wall"]),
            ({"where": {"project__name": "Home"}}, ["Paint the wall"]),
            ({"at_least": {"due": "2026-03-02"}}, ["Call Bob"]),
            ({"at_most": {"due": "2026-03-31", "percent": 100}}, ["Buy paint"]),
            ({"at_least": {"effort": 1}, "at_most": {"effort": 2.5}}, ["Call Bob"]),
            ({"order_by": ["-priority", "-title"]}, ["Call Bob", "Paint the wall", "Buy paint"]),
        ],
    )
    async def test_search(self, planner, arguments, titles):
        """By words, by values, within bounds, in order."""
        found = await planner.do("search_task", **arguments)

        assert [task["title"] for task in found["results"]] == titles
        assert (found["page"], found["more"]) == (1, False)

    async def test_search__pages(self, alice):
        """Pages hold every object once, and say whether there are more."""
        for number in range(7):
            await add(alice, f"Task {number}")
        alice.tools = tasks(page_size=3)

        pages = [
            await alice.do("search_task", order_by=["priority"], page=number)
            for number in (1, 2, 3, 4)
        ]

        titles = [[task["title"] for task in page["results"]] for page in pages]
        assert [len(page) for page in titles] == [3, 3, 1, 0]
        assert sorted(itertools.chain(*titles)) == [f"Task {number}" for number in range(7)]
        assert [page["more"] for page in pages] == [True, True, False, False]

    async def test_search__long_texts(self, alice, django_assert_num_queries):
        """A novel is cut by the database, so that it is never even sent."""
        await add(alice, "Read", notes="x" * 100_000)
        alice.tools = tasks(max_text=10)

        [found] = (await alice.do("search_task"))["results"]

        assert found["notes"] == "xxxxxxxxxx… (cut)"

    async def test_search__too_many_words(self, alice):
        """Nobody can have the database look for half a dictionary."""
        assert "At most 8 words" in await alice.fail("search_task", query="a b c d e f g h i")
        assert "at most 100 characters" in await alice.fail("search_task", query="a" * 101)
        assert "page" in await alice.fail("search_task", page=51)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"title": "x" * 81}, "title: String should have at most 80 characters"),
        ({"title": ""}, "title: This field cannot be blank."),
        ({"title": "x", "priority": 3}, "priority: Input should be 1 or 2"),
        ({"title": "x", "percent": 101}, "percent: Input should be less than or equal to 100"),
        ({"title": "x", "effort": 1234.5}, "effort: Decimal input should have no more than"),
        ({"title": "x", "due": "soon"}, "due: Input should be a valid date"),
        ({"title": "x", "notes": "x"}, "notes: Say more than the title."),
        ({"title": "x", "done": True}, "What is done is done to 100 percent."),
        ({"title": "x\x00"}, "title: Value error, holds a NUL character"),
        ({"title": "Paint"}, "already exists"),
    ],
)
async def test_create__invalid(alice, arguments, said):
    """The model's validation decides, field by field, and nothing is written."""
    await add(alice, "Paint")

    assert said in await alice.fail("create_task", **arguments)
    assert await Task.objects.acount() == 1


async def test_change__invalid(alice):
    """An object that was there is held to the same rules."""
    await add(alice, "Paint")
    task = await add(alice, "Call")

    said = await alice.fail("change_task", id=task.pk, changes={"title": "Paint"})
    assert "already exists" in said
    said = await alice.fail("change_task", id=task.pk, changes={"done": True})
    assert said == "What is done is done to 100 percent."
    await task.arefresh_from_db()
    assert (task.title, task.done) == ("Call", False)


async def test_change__old_faults(alice):
    """A fault of long ago in another field is in nobody's way."""
    task = await add(alice, "Call", priority=17)

    changed = await alice.do("change_task", id=task.pk, changes={"notes": "at noon"})

    assert (changed["notes"], changed["priority"]) == ("at noon", 17)


class TestApproval:
    async def test_ask__delete(self, alice):
        """The person sees what would go, by name, and what would go with it."""
        await grant_sync(alice.user, "delete_comment")
        task = await add(alice, "Paint")
        await Comment.objects.acreate(task=task, text="blue")
        alice.approves = False

        with pytest.raises(ApprovalRequired) as required:
            await alice.call("delete_task", id=task.pk)

        interrupt = required.value.interrupt()
        assert interrupt["message"] == (
            f"Delete the task “Paint” (id {task.pk})? What belongs to it goes, too: 1 comment."
        )
        assert interrupt["metadata"]["action"] == "delete"
        assert interrupt["metadata"]["dependents"] == {"comment": 1}
        assert "hunter2" not in str(interrupt)
        assert await Task.objects.acount() == 1

    async def test_ask__in_the_language_of_the_site(self, alice, settings):
        """The question is for a person, so it is translated."""
        settings.LANGUAGE_CODE = "de"
        task = await add(alice, "Streichen")
        await Task.objects.acreate(owner=alice.user, title="Farbe kaufen", parent=task)
        alice.approves = False

        with pytest.raises(ApprovalRequired) as required:
            await alice.call("delete_task", id=task.pk)

        assert required.value.message == (
            f"task “Streichen” (id {task.pk}) löschen? Was dazugehört, wird auch gelöscht: 1 task."
        )

    async def test_ask__change(self, alice):
        """A change is shown beside what is there."""
        task = await add(alice, "Paint")
        alice.approves = False

        with pytest.raises(ApprovalRequired) as required:
            await alice.call("change_task", id=task.pk, changes={"due": "2026-12-01"})

        metadata = required.value.interrupt()["metadata"]
        assert required.value.message == f"Change the task “Paint” (id {task.pk})?"
        assert metadata["object"]["due"] is None
        assert metadata["changes"] == {"due": "2026-12-01"}

    async def test_ask__create(self, alice):
        """Whoever wants it asks before anything is made, too."""
        alice.tools, alice.approves = tasks(destructive=["create"]), False

        with pytest.raises(ApprovalRequired, match=r"Create a task\?"):
            await alice.call("create_task", title="Paint")

    async def test_ask__not_there(self, alice, bob):
        """Nobody is asked about what does not exist for them."""
        task = await add(bob, "Paint")
        alice.approves = False

        for name, more in (("delete_task", {}), ("change_task", {"changes": {"notes": "x"}})):
            assert "There is no task" in await alice.fail(name, id=task.pk, **more)


async def grant_sync(user: User, *permissions: str) -> None:
    from asgiref.sync import sync_to_async

    await sync_to_async(grant)(user, *permissions)


async def test_on_change(alice):
    """The page is told after something was written, and only then."""

    def show(context: ToolContext) -> None:
        titles = Task.objects.filter(owner=context.user).values_list("title", flat=True)
        context.set_state({"tasks": list(titles)})

    alice.tools = tasks(on_change=show)

    await alice.do("create_task", title="Paint")
    [event] = alice.last.session.take()
    assert event == {"type": "STATE_SNAPSHOT", "snapshot": {"tasks": ["Paint"]}}
    await alice.do("search_task")
    await alice.fail("create_task", title="Paint")
    assert alice.last.session.take() == []


async def test_on_change__fails(alice, caplog):
    """What was written is written, even if the page cannot be told."""

    def show(context: ToolContext) -> None:
        raise RuntimeError("no page")

    alice.tools = tasks(on_change=show)

    assert (await alice.do("create_task", title="Paint"))["title"] == "Paint"
    assert "no page" in caplog.text


async def test_key(transactional_db):
    """Objects are named by their primary key, whatever it is."""
    user = await User.objects.acreate_superuser("root")
    desk = Desk(user, model_tools(Book, fields=["isbn", "title"]))

    await desk.do("create_book", isbn="9783161484100", title="Django")
    await desk.do("change_book", isbn="9783161484100", changes={"title": "AG-UI"})

    assert await desk.do("get_book", isbn="9783161484100") == {
        "isbn": "9783161484100",
        "title": "AG-UI",
    }
    assert "isbn" in await desk.fail(
        "change_book", isbn="9783161484100", changes={"isbn": "9783161484117"}
    )


def test_tools__selection():
    """Only what was asked for is offered, with the permission it takes."""
    tools = tasks(actions=["get", "search"], name="todo")

    assert [(tool.name, tool.permission) for tool in tools] == [
        ("search_todo", "planner.view_task"),
        ("get_todo", "planner.view_task"),
    ]
    assert [tool.destructive for tool in tasks()] == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (Task, {"fields": ["colour"]}, "Task has no field 'colour'"),
        (Task, {"fields": "title"}, "name them in a list"),
        (Task, {"fields": ["watchers"]}, "is no column"),
        (Task, {"fields": ["comment"]}, "is no column"),
        (Task, {"fields": ["watchers__password"]}, "does not lead to one other object"),
        (Task, {"fields": ["title__contains"]}, "Task has no field|does not lead"),
        (Book, {"fields": ["scan"]}, "holds bytes"),
        (Book, {"fields": ["cover"], "editable": ["cover"]}, "cannot be written"),
        (Task, {"fields": ["id"], "editable": ["id"]}, "cannot be written"),
        (Task, {"fields": ["title"], "editable": ["notes"]}, "not among the fields"),
        (Task, {"fields": ["project"], "editable": ["project"]}, "Say what 'project'"),
        (
            Task,
            {"fields": ["project__name"], "editable": ["project__name"]},
            "cannot be written",
        ),
        (Task, {"fields": ["title"], "actions": ["drop"]}, "There is no action 'drop'"),
        (Task, {"fields": ["title"], "key": "title"}, "is not unique"),
        (Task, {"fields": ["title"], "permissions": False}, "queryset has to say"),
    ],
)
def test_tools__impossible(model, options, said):
    """What cannot be offered is refused where it is written."""
    with pytest.raises(ValueError, match=said):
        model_tools(model, **options)
