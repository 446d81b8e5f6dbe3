"""The terminal: every management command, as somebody uses it who serves one owner."""

from __future__ import annotations

import argparse
import asyncio
import io
from collections.abc import Sequence
from typing import Any

from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import CommandError
from django.db import connections

from .doors import Question, Seen
from .world import Person, Target, World

APP = "copilotkit_django"

#: How to call each of them. ``{owner}`` is an option that names whose threads it is to be about,
#: ``{thread}`` the thread asked about. Those without are about everybody's, and say nothing of any.
CALLS: dict[str, tuple[str, ...]] = {
    "copilotkit_agents": ("", "default Hello {user}", "default Hello --events {user}"),
    "copilotkit_prune": ("--days 36500", "--days 0 --dry-run"),
    "copilotkit_reap": ("", "--dry-run"),
    "copilotkit_threads list": ("{owner}",),
    "copilotkit_threads show": ("{thread} {owner}",),
    "copilotkit_threads export": ("{thread} {owner}", "{owner}"),
    "copilotkit_threads delete": ("{thread} {owner}", "{thread} --dry-run {owner}"),
}


def commands() -> list[str]:
    """The commands of this app, with what each of them may be told to do."""
    found = []
    for name, app in get_commands().items():
        if app != APP:
            continue
        parser = load_command_class(APP, name).create_parser("manage.py", name)
        choices = [
            choice
            for action in parser._actions
            if isinstance(action, argparse._SubParsersAction)
            for choice in action.choices
        ]
        found += [f"{name} {choice}" for choice in choices] or [name]
    return sorted(found)


class CommandDoor:
    name = "command"
    runners = ("database",)

    def operations(self) -> Sequence[str]:
        return commands()

    def questions(self, operation: str) -> Sequence[Question]:
        return [
            # A command has a runner of its own, whose housekeeping falls where it may.
            Question(f"{operation} {call}", _asker(operation, call), "{thread}" in call, False)
            for call in CALLS.get(operation, ())
        ]


def _asker(operation: str, call: str) -> Any:
    async def ask(world: World, person: Person, target: Target) -> Seen:
        user = [] if person.user is None else ["--user", person.name]
        owner = user or ["--scope", person.scope]
        arguments = operation.split()
        for word in call.split():
            known = {"{user}": user, "{owner}": owner, "{thread}": [target.thread_id]}
            arguments += known.get(word, [word])
        return await asyncio.to_thread(_called, arguments)

    return ask


def _called(arguments: list[str]) -> Seen:
    out = io.StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=out, no_color=True)
        error = ""
    except CommandError as refused:
        error = str(refused)
    finally:
        connections.close_all()
    return Seen("failed" if error else "done", (out.getvalue() + error).encode())
