"""`model_tools`: what a model of the project offers to a language model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from django.db import models
from pydantic import Field

from copilotkit_django.agents.model_tools.actions import Actions
from copilotkit_django.agents.model_tools.columns import Column, columns_of
from copilotkit_django.agents.model_tools.rows import Rows, Table, permission
from copilotkit_django.agents.tools.context import ToolContext
from copilotkit_django.agents.tools.schema import Arguments, Parameter, typed_dict
from copilotkit_django.agents.tools.tool import TIMEOUT, Tool

Action = Literal["search", "get", "create", "change", "delete"]

#: What may be done, and the permission of Django's that it takes.
PERMISSIONS: Mapping[str, str] = {
    "search": "view",
    "get": "view",
    "create": "add",
    "change": "change",
    "delete": "delete",
}

#: The last page of a search: whoever has read so much should ask a better question.
LAST_PAGE = 50


def model_tools(
    model: type[models.Model],
    *,
    fields: Collection[str],
    actions: Collection[Action] = ("search", "get", "create", "change", "delete"),
    editable: Collection[str] | None = None,
    queryset: Rows | None = None,
    defaults: Callable[[ToolContext], Mapping[str, Any]] | None = None,
    related: Mapping[str, Rows] | None = None,
    permissions: bool = True,
    destructive: Collection[Action] = ("change", "delete"),
    key: str = "",
    name: str = "",
    page_size: int = 20,
    max_text: int = 2000,
    timeout: float | None = TIMEOUT,
    on_change: Callable[[ToolContext], Any] | None = None,
) -> list[Tool]:
    """Tools to search, get, create, change and delete objects of a model::

        model_tools(
            Task,
            fields=["title", "done", "due", "project", "project__name"],
            queryset=lambda context: Task.objects.filter(owner=context.user),
            defaults=lambda context: {"owner": context.user},
            related={"project": lambda context: Project.objects.filter(owner=context.user)},
        )

    ``fields``: what may be read, searched and sorted by, besides ``key``; fields of an object that
    is referred to are named with ``__``. Nothing else ever reaches a language model.
    ``editable``: which of them may be written; by default all that can be. A foreign key can be if
    ``related`` says what it may point at, for each caller.
    ``queryset``: the rows of the caller; an object outside of them is not found, and none is
    written to be. ``defaults``: what is set on an object that is created, unless the model says
    something else of a field it may write.
    ``permissions``: the user needs Django's permission to view, add, change or delete; without, a
    ``queryset`` must say whose rows they are, and whoever may call the agent may use the tools.
    ``destructive``: which actions the person is asked about first.
    ``key``: the unique field that names an object, by default the primary key. ``name``: how the
    tools are called after their action, by default as the model is. ``page_size``: how many objects
    a search returns at a time, ``max_text``: where longer texts are cut. ``on_change`` is called
    after something was written, with the context, on the same worker thread: to tell the page.

    Everything is checked by the model's own validation and written in one transaction. Callables
    are called on a worker thread, where they may use the ORM. Raises `ValueError` for what cannot
    be offered.
    """
    unknown = [action for action in {*actions, *destructive} if action not in PERMISSIONS]
    if unknown:
        raise ValueError(f"There is no action {unknown[0]!r}: {', '.join(PERMISSIONS)}.")
    if not permissions and queryset is None:
        raise ValueError(
            "Without permissions=True, queryset has to say which rows a caller may work on."
        )
    columns = columns_of(model, fields)
    related = related or {}
    table = Table(
        model=model,
        key=_key(model, key),
        columns=columns,
        editable=_editable(columns, editable, related),
        max_text=max_text,
        checks_permissions=permissions,
        queryset=queryset,
        defaults=defaults,
        related=related,
    )
    offered = Actions(table, page_size, on_change)
    name = name or str(model._meta.model_name)
    tools = []
    for action in PERMISSIONS:
        if action not in actions:
            continue
        arguments = Arguments(f"{action}_{name}", _PARAMETERS[action](table))
        tools.append(
            Tool(
                name=f"{action}_{name}",
                description=_describe(action, table, page_size),
                parameters=arguments.schema,
                validate=arguments.validate,
                function=getattr(offered, action),
                takes_context=True,
                permission=permission(PERMISSIONS[action], model) if permissions else None,
                timeout=timeout,
                destructive=action in destructive,
                approval_message=getattr(offered, f"ask_to_{action}", None),
            )
        )
    return tools


def _key(model: type[models.Model], name: str) -> Column:
    pk = model._meta.pk
    if not name and getattr(pk, "column", None) is None:
        raise ValueError(f"{model.__name__} has a primary key of several columns: say key=...")
    column = Column.find(model, name or pk.name)
    if not column.field.unique:
        raise ValueError(f"{name!r} is not unique, so it cannot name an object.")
    return column


def _editable(
    columns: Mapping[str, Column], named: Collection[str] | None, related: Mapping[str, Rows]
) -> dict[str, Column]:
    """The fields that may be written."""
    if unknown := [path for path in {*(named or ()), *related} if path not in columns]:
        raise ValueError(f"{unknown[0]!r} is not among the fields.")
    found = {}
    for path, column in columns.items():
        is_known = not column.field.is_relation or path in related
        if named is None and not (column.is_writable and is_known):
            continue
        if named is not None and path not in named:
            continue
        if not column.is_writable:
            raise ValueError(f"{path!r} cannot be written by tools.")
        if not is_known:
            raise ValueError(f"Say what {path!r} may point at: related={{{path!r}: ...}}.")
        found[path] = column
    return found


def _describe(action: str, table: Table, page_size: int) -> str:
    one, many = table.verbose_name, str(table.model._meta.verbose_name_plural)
    if action == "search":
        return (
            f"Find {many}, {page_size} at a time. All conditions have to hold; none: all {many}. "
            "`more` says that there is a next page."
        )
    key = table.key.path
    return {
        "get": f"Read one {one} by its {key}.",
        "create": f"Create a {one}.",
        "change": f"Change fields of one {one}, named by its {key}. What is left out stays.",
        "delete": f"Delete one {one}, named by its {key}, and what belongs to it.",
    }[action]


def _search(table: Table) -> dict[str, Parameter]:
    columns = {**{table.key.path: table.key}, **table.columns}
    parameters = {}
    if any(column.is_text for column in table.columns.values()):
        parameters["query"] = Parameter(
            Annotated[str, Field(max_length=100)],
            required=False,
            description="Words that have to occur in any of the texts.",
        )
    comparable = {path: column for path, column in columns.items() if column.is_comparable}
    ordered = {path: column for path, column in columns.items() if column.is_ordered}
    for argument, among, text in (
        ("where", comparable, "Exact values; null: has none."),
        ("at_least", ordered, "Lower bounds, themselves included."),
        ("at_most", ordered, "Upper bounds, themselves included."),
    ):
        if among:
            kind = typed_dict(argument, _values(among, are_bounds=argument != "where"))
            parameters[argument] = Parameter(kind, required=False, description=text)
    sortable = [path for path, column in columns.items() if column.is_sortable]
    if sortable:
        literal, sequence = cast(Any, Literal), cast(Any, list)
        orders = literal[tuple(sortable + [f"-{path}" for path in sortable])]
        parameters["order_by"] = Parameter(
            Annotated[sequence[orders], Field(max_length=4)],
            required=False,
            description="Fields to sort by, the most important first; - for descending.",
        )
    parameters["page"] = Parameter(
        Annotated[int, Field(ge=1, le=LAST_PAGE)], required=False, default=1
    )
    return parameters


def _values(columns: Mapping[str, Column], *, are_bounds: bool = False) -> dict[str, Parameter]:
    """Arguments that are values of columns, each of which may be left out."""
    return {
        path: Parameter(
            column.bound() if are_bounds else column.annotation(),
            required=False,
            description=column.describe(),
        )
        for path, column in columns.items()
    }


def _one(table: Table) -> dict[str, Parameter]:
    text = f"Which {table.verbose_name}."
    return {table.key.path: Parameter(table.key.annotation(), description=text)}


def _create(table: Table) -> dict[str, Parameter]:
    return {
        path: Parameter(
            column.annotation(),
            required=column.is_required,
            description=column.describe(),
        )
        for path, column in table.editable.items()
    }


def _change(table: Table) -> dict[str, Parameter]:
    changes = {path: c for path, c in table.editable.items() if not c.field.primary_key}
    kind = typed_dict("changes", _values(changes))
    return {**_one(table), "changes": Parameter(kind, description="The new values.")}


_PARAMETERS: Mapping[str, Callable[[Table], dict[str, Parameter]]] = {
    "search": _search,
    "get": _one,
    "create": _create,
    "change": _change,
    "delete": _one,
}

__all__: Sequence[str] = ["model_tools"]
