"""Somebody else's thread is answered like one that is not there, whoever asks for whatever.

What there is to ask is found in the code (`doors`), so that an operation nobody knows how to ask
for fails here. FUZZ=1 asks everybody about everybody else's threads; below that each asks about
those of one other, users about visitors' and the other way round among them.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import replace

import pytest

from copilotkit_django import routes, views
from copilotkit_django.models import Run, Thread

from .admin import AdminDoor
from .doors import Door, Question, Seen, doors
from .statements import recorded
from .world import KINDS, SHARED, USERS, VISITORS, Person, Target, World

NAMES = (*USERS, *VISITORS)
#: Each asks about the threads of the next one: users of users and visitors, and visitors too.
RING = list(zip(NAMES, (*NAMES[1:], NAMES[0]), strict=True))
PAIRS = list(itertools.permutations(NAMES, 2))

#: What was written a moment sooner or later goes to the database with something else.
ATTEMPTS = 5

#: What is new each time: moments, the epoch of the memory runner, the tokens of forms and cookies.
VOLATILE = (
    r"\d{4}-\d\d-\d\dT[\d:.]+Z",
    r"(?<=Expires: )[\w, :]+",
    r"(?<=\nid: )[0-9a-f]{8}(?=-)",
    r"csrftoken=\w+|expires=[\w, :-]+",
    r'(?<="csrfmiddlewaretoken" value=")\w+',
)

CASES = [
    pytest.param(door, operation, runner, id=f"{door.name}-{operation}-{runner}")
    for door in doors()
    for operation in door.operations()
    for runner in door.runners
]


def pairs() -> list[tuple[str, str]]:
    """Who asks, and about whose threads."""
    return PAIRS if float(os.environ.get("FUZZ", "0.1")) >= 1 else RING


def questions(door: Door, operation: str) -> list[Question]:
    found = list(door.questions(operation))
    assert found, (
        f"Nobody knows how to ask for {operation!r} at the door {door.name!r}: say so in "
        f"{type(door).__module__}, so that it is tried whether it leaks."
    )
    return found


def normalised(seen: Seen, target: Target) -> Seen:
    """An answer without what is the name of the thread asked about, or the time of day."""
    text = seen.everything().decode(errors="replace").partition("\n")[2]
    for value, name in (
        (target.thread_id, "<thread>"),
        (target.run_id, "<run>"),
        (f"/{target.pk}/", "/<pk>/"),
        (str(target.owner.name if target.owner else "nobod"), "<name>"),
    ):
        text = text.replace(value, name)
    for pattern in VOLATILE:
        text = re.sub(pattern, "<new>", text)
    return replace(seen, headers={}, body=text.encode())


def leaks(seen: Seen, owner: Person) -> list[bytes]:
    """What of somebody's is to be seen in an answer."""
    everything = seen.everything()
    private = [*owner.secrets, owner.scope.encode()] if owner.user is None else owner.secrets
    return [secret for secret in private if secret in everything]


async def with_pk(target: Target, kind: str, door: Door) -> Target:
    """The target with its primary key, where rows are asked for by theirs."""
    if door.name != "admin":
        return target
    if target.owner is None:
        return replace(target, pk=99_999)
    return replace(target, pk=(await Thread.objects.aget(key=target.owner.ref(kind).key)).pk)


async def answered(
    world: World, question: Question, asker: Person, target: Target
) -> tuple[Seen, dict[str, int]]:
    """The answer to a question, and what the database was asked for it."""
    with recorded() as statements:
        seen = await question.ask(world, asker, target)
    await world.clear(asker, target)
    await world.refill(asker)
    return seen, dict(statements)


@pytest.mark.parametrize(("door", "operation", "runner"), CASES)
async def test_operation(make_world, door, operation, runner):
    """Not yours and not there look alike, cost alike and change nothing; nothing is leaked."""
    world = await make_world(runner)

    for question in questions(door, operation):
        for asker, owner in ((world.people[a], world.people[b]) for a, b in pairs()):
            before = await world.belongings(owner)
            for kind in KINDS if question.about_thread else KINDS[:1]:
                await _compare(world, door, question, asker, owner, kind)
            # A thread of theirs may have the very id of one of somebody else's.
            shared = await with_pk(world.target(owner, SHARED), SHARED, door)
            seen = await question.ask(world, asker, shared)
            assert leaks(seen, owner) == []
            await world.refill(asker)
            assert await world.belongings(owner) == before, (question.name, asker.name)


async def _compare(
    world: World, door: Door, question: Question, asker: Person, owner: Person, kind: str
) -> None:
    theirs = await with_pk(world.target(owner, kind), kind, door)
    nowhere = await with_pk(world.nowhere(kind), kind, door)
    for attempt in range(ATTEMPTS):
        seen, asked = await answered(world, question, asker, theirs)
        other, otherwise = await answered(world, question, asker, nowhere)

        assert leaks(seen, owner) == [], (question.name, asker.name, owner.name)
        assert leaks(other, owner) == []
        if not question.about_thread:
            return
        assert normalised(seen, theirs) == normalised(other, nowhere), question.name
        if asked == otherwise or not question.counted:
            return
        assert attempt < ATTEMPTS - 1, (question.name, asked, otherwise)


ADMIN = AdminDoor()
ALLOWED = ("view_thread", "view_run", "stop_thread", "archive_thread", "export_thread")


@pytest.mark.parametrize("operation", ADMIN.operations())
async def test_admin__no_permission(make_world, operation):
    """Staff who may not look at threads are told the same of those that are there and are not."""
    world = await make_world("database")
    clerk, owner = await world.staff("clerk"), world.people["alice"]
    before = await world.belongings(owner)

    for question in questions(ADMIN, operation):
        theirs = await with_pk(world.target(owner, "alive"), "alive", ADMIN)
        nowhere = await with_pk(world.nowhere("alive"), "alive", ADMIN)
        with recorded() as asked:
            seen = await question.ask(world, clerk, theirs)
        with recorded() as otherwise:
            other = await question.ask(world, clerk, nowhere)

        assert seen.status in (403, 405)
        assert leaks(seen, owner) == []
        assert normalised(seen, theirs) == normalised(other, nowhere)
        if question.about_thread and seen.status == 403:
            # Django's admin looks a row up before it asks for permission: one query, found or not.
            assert asked == otherwise
    assert await world.belongings(owner) == before


@pytest.mark.parametrize("operation", ADMIN.operations())
async def test_admin__without_content(make_world, operation):
    """Whoever may look at threads, but not into them, sees nothing of what is said there."""
    world = await make_world("database")
    viewer, owner = await world.staff("viewer", *ALLOWED), world.people["alice"]

    for question in questions(ADMIN, operation):
        for kind in KINDS:
            seen = await question.ask(
                world, viewer, await with_pk(world.target(owner, kind), kind, ADMIN)
            )
            hidden = [secret for secret in owner.secrets if secret in seen.everything()]
            assert hidden == [], question.name
            assert seen.status < 500


def test_routes__all_served():
    """What the table of routes names is what there are handlers for, and the other way round."""
    assert {pattern.name for pattern in routes.PATTERNS} == set(views.HANDLERS)
    assert set(routes.ENVELOPE_METHODS) - {"resource/request"} <= set(views.HANDLERS)


class Unknown:
    """A door with an operation that nobody knows how to ask for."""

    name, runners = "unknown", ("memory",)

    def operations(self):
        return ["new/route"]

    def questions(self, operation):
        return []


def test_operation__new():
    """An operation that is new and not known here is named."""
    with pytest.raises(AssertionError, match="how to ask for 'new/route'"):
        questions(Unknown(), "new/route")


async def test_leak__noticed(make_world):
    """What these tests look for would be found."""
    world = await make_world("database")
    alice, bobby = (world.people[name] for name in USERS)

    door = next(door for door in doors() if door.name == "path")
    [question] = door.questions("GET threads/messages")

    own = await question.ask(world, alice, world.target(alice, "quiet"))

    assert len(leaks(own, alice)) == 1
    assert leaks(own, bobby) == []
    assert await Run.objects.acount() == 3 * len(NAMES)
