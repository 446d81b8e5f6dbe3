"""The admin's door: every view and every action of it, for people who are no staff."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.urls import NoReverseMatch, URLPattern, reverse

from tests.integration.site import read

from .doors import Question
from .http import seen
from .world import Person, Target, World

#: Tells what an address of the admin is about: nothing, or one row.
LIST, ROW = "list", "row"


def admins() -> list[Any]:
    """Those of this app, as they are registered."""
    registered = admin.site._registry.items()
    return [found for model, found in registered if model._meta.app_label == "copilotkit"]


def views() -> dict[str, str]:
    """The named views of our models, and what each is about."""
    found = {}
    for each in admins():
        for pattern in each.get_urls():
            if isinstance(pattern, URLPattern) and pattern.name:
                parameters = pattern.pattern.converters.keys()
                found[pattern.name] = ROW if parameters == {"object_id"} else LIST
                assert not parameters - {"object_id"}, f"{pattern.name}: what is it about?"
    return found


def actions() -> dict[str, Any]:
    """``action NAME of MODEL``, with the admin it belongs to."""
    return {
        f"action {name} of {each.opts.model_name}": each
        for each in admins()
        for _, name, _ in each._get_base_actions()
    }


class AdminDoor:
    name = "admin"
    #: What the admin shows stands in the database.
    runners = ("database",)

    def operations(self) -> Sequence[str]:
        return [*views(), *actions()]

    def questions(self, operation: str) -> Sequence[Question]:
        if operation in actions():
            model = actions()[operation].opts.model_name
            name = operation.split()[1]
            return [Question(operation, _act(f"admin:copilotkit_{model}_changelist", name))]
        try:
            reverse(f"admin:{operation}", args=[1] if views()[operation] == ROW else [])
        except NoReverseMatch:
            return []
        about_row = views()[operation] == ROW
        return [
            Question(f"{method} {operation}", _view(method, operation, about_row), about_row)
            for method in ("GET", "POST")
        ]


def _view(method: str, name: str, about_row: bool) -> Any:
    async def ask(world: World, person: Person, target: Target) -> Any:
        url = reverse(f"admin:{name}", args=[target.pk] if about_row else [])
        return await _asked(person, method, url, {"action": "stop", "post": "yes"})

    return ask


def _act(url_name: str, action: str) -> Any:
    async def ask(world: World, person: Person, target: Target) -> Any:
        data = {"action": action, "_selected_action": [target.pk], "post": "yes"}
        return await _asked(person, "POST", reverse(url_name), data)

    return ask


async def _asked(person: Person, method: str, url: str, data: dict[str, Any]) -> Any:
    client = person.caller.client
    response = await (client.get(url) if method == "GET" else client.post(url, data))
    return seen(await read(response))
