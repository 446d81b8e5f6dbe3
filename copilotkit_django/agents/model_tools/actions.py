"""What the tools of a model do. All of it runs on worker threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from pydantic_core import to_jsonable_python

from copilotkit_django.agents.model_tools.rows import Table, check_defaults
from copilotkit_django.agents.tools.context import ToolContext
from copilotkit_django.exceptions import ToolError
from copilotkit_django.incidents import scrub

#: More words than this make a search slow, and not more exact.
MOST_WORDS = 8

#: How much of an object's first text stands in a question about it.
LABEL = 60


@dataclass(frozen=True)
class Actions:
    """The functions behind the tools of one model."""

    table: Table
    page_size: int
    on_change: Callable[[ToolContext], Any] | None = None

    def search(
        self,
        context: ToolContext,
        query: str = "",
        where: Mapping[str, Any] | None = None,
        at_least: Mapping[str, Any] | None = None,
        at_most: Mapping[str, Any] | None = None,
        order_by: Sequence[str] = (),
        page: int = 1,
    ) -> dict[str, Any]:
        words = query.split()
        if len(words) > MOST_WORDS:
            raise ToolError(f"At most {MOST_WORDS} words can be searched for.")
        rows = self.table.matching(context, words, where or {}, at_least or {}, at_most or {})
        # The primary key comes last, so that no row is on two pages or on none.
        rows = rows.order_by(*(order_by or rows.query.order_by or self._ordering), "pk")
        start = (page - 1) * self.page_size
        found = self.table.read(rows[start : start + self.page_size + 1])
        return {
            "results": found[: self.page_size],
            "page": page,
            "more": len(found) > self.page_size,
        }

    @property
    def _ordering(self) -> Sequence[Any]:
        return self.table.model._meta.ordering or ()

    def get(self, context: ToolContext, **key: Any) -> dict[str, Any]:
        return self.table.one(self._key(key), context)

    def create(self, context: ToolContext, **values: Any) -> dict[str, Any]:
        table = self.table
        with table.transaction(context):
            defaults = table.defaults(context) if table.defaults else {}
            check_defaults(table, defaults)
            instance = table.model(**defaults)
            table.fill(instance, values, context)
            table.validate(instance)
            instance.save(force_insert=True, using=table.database(context))
            table.confirm(instance, context)
            result = self._written(instance, context)
        self._changed(context)
        return result

    def change(
        self, context: ToolContext, changes: Mapping[str, Any], **key: Any
    ) -> dict[str, Any]:
        table = self.table
        if not changes:
            raise ToolError("There is nothing to change: changes is empty.")
        with table.transaction(context):
            instance = table.instance(self._key(key), context, lock=True)
            table.fill(instance, changes, context)
            table.validate(instance, changes)
            instance.save()
            table.confirm(instance, context)
            result = self._written(instance, context)
        self._changed(context)
        return result

    def delete(self, context: ToolContext, **key: Any) -> dict[str, Any]:
        table = self.table
        with table.transaction(context):
            instance = table.instance(self._key(key), context, lock=True)
            table.dependents(instance, context)
            table.remove(instance)
        self._changed(context)
        return {"deleted": key}

    def ask_to_create(self, context: ToolContext, **values: Any) -> None:
        question = _("Create a %(name)s?") % {"name": self.table.verbose_name}
        self._ask(context, question, "create", changes=values)

    def ask_to_change(self, context: ToolContext, changes: Mapping[str, Any], **key: Any) -> None:
        found = self.table.one(self._key(key), context)
        question = _("Change the %(name)s %(label)s?") % self._names(found)
        self._ask(context, question, "change", object=found, changes=changes)

    def ask_to_delete(self, context: ToolContext, **key: Any) -> None:
        table = self.table
        found = table.one(self._key(key), context)
        dependents = table.dependents(table.instance(self._key(key), context), context)
        question = _("Delete the %(name)s %(label)s?") % self._names(found)
        if dependents:
            more = ", ".join(f"{count} {name}" for name, count in dependents.items())
            question += " " + _("What belongs to it goes, too: %(more)s.") % {"more": more}
        self._ask(context, question, "delete", object=found, dependents=dependents)

    def _ask(self, context: ToolContext, question: str, action: str, **more: Any) -> None:
        metadata = {"action": action, "model": self.table.verbose_name, **more}
        context.require_approval(question, to_jsonable_python(metadata))

    def _names(self, found: Mapping[str, Any]) -> dict[str, str]:
        """What to call an object in front of a person: by the first text of it that was named."""
        key = f"{self.table.key.path} {found[self.table.key.path]}"
        texts = (found[path] for path, column in self.table.columns.items() if column.is_text)
        text = " ".join(str(next(filter(None, texts), "")).split())
        if len(text) > LABEL:
            text = f"{text[: LABEL - 1]}…"
        return {
            "name": self.table.verbose_name,
            "label": f"“{text}” ({key})" if text else f"({key})",
        }

    def _key(self, key: Mapping[str, Any]) -> Any:
        return key[self.table.key.path]

    def _written(self, instance: Any, context: ToolContext) -> dict[str, Any]:
        """An object as it is now stored, defaults of the database included."""
        rows = self.table.rows(context).using(instance._state.db)
        return self.table.read(rows.filter(pk=instance.pk)[:1])[0]

    def _changed(self, context: ToolContext) -> None:
        if self.on_change is None:
            return
        try:
            self.on_change(context)
        except Exception as error:
            # It is written; the model must not think otherwise.
            scrub(error, expose=False)
