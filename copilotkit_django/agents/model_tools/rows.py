"""Reading and writing the rows that tools may see."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_permission_codename
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DataError, IntegrityError, connections, models, router, transaction
from django.db.models import F, Q
from django.db.models.deletion import Collector, ProtectedError, RestrictedError
from django.db.models.functions import Left

from copilotkit_django.agents.model_tools.columns import Column
from copilotkit_django.agents.tools.context import ToolContext
from copilotkit_django.exceptions import ToolError

logger = logging.getLogger("copilotkit.tool")

#: What tells the columns of a result from the fields of any model.
_ALIAS = "copilotkit_column_{}"

Rows = Callable[[ToolContext], "models.QuerySet[Any]"]


@dataclass(frozen=True)
class Table:
    """A model, and what of it tools may see and do. Everything here is for worker threads.

    ``columns`` are the fields that may be read, ``editable`` those that may be written, ``key`` is
    the one that names an object. ``queryset`` gives the rows of the caller; all others do not
    exist. ``related`` gives, for each foreign key that may be written, what it may point at.
    """

    model: type[models.Model]
    key: Column
    columns: Mapping[str, Column]
    editable: Mapping[str, Column]
    max_text: int
    checks_permissions: bool
    queryset: Rows | None = None
    defaults: Callable[[ToolContext], Mapping[str, Any]] | None = None
    related: Mapping[str, Rows] = field(default_factory=dict)

    @property
    def verbose_name(self) -> str:
        return str(self.model._meta.verbose_name)

    def rows(self, context: ToolContext) -> models.QuerySet[Any]:
        """The rows of the caller."""
        if self.queryset is None:
            return self.model._default_manager.all()
        return self.queryset(context)

    def read(self, rows: models.QuerySet[Any]) -> list[dict[str, Any]]:
        """The named fields of rows, and nothing else: the database is not even asked for it."""
        named = {self.key.path: self.key, **self.columns}
        aliases = {path: _ALIAS.format(number) for number, path in enumerate(named)}
        asked = {
            aliases[path]: (
                Left(path, self.max_text + 1) if column.is_longer_than(self.max_text) else F(path)
            )
            for path, column in named.items()
        }
        return [
            {path: self._shortened(found[alias]) for path, alias in aliases.items()}
            for found in rows.values(**asked)
        ]

    def _shortened(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > self.max_text:
            return f"{value[: self.max_text]}… (cut)"
        return value

    def one(self, key: Any, context: ToolContext) -> dict[str, Any]:
        """The named fields of one of the caller's rows. Raises `ToolError` if there is none."""
        found = self.read(self._named(key, context)[:1])
        if not found:
            raise self._missing(key)
        return found[0]

    def _named(self, key: Any, context: ToolContext) -> models.QuerySet[Any]:
        return self.rows(context).filter(**{self.key.path: key})

    def _missing(self, key: Any) -> ToolError:
        return ToolError(f"There is no {self.verbose_name} with {self.key.path} {key}.")

    def instance(self, key: Any, context: ToolContext, *, lock: bool = False) -> models.Model:
        """One of the caller's objects; ``lock`` it to change it in this transaction."""
        pk = self._named(key, context).values_list("pk", flat=True).first()
        # The rows of the caller may be joined and made distinct, which cannot be locked.
        rows = self.model._base_manager.using(self.database(context)).filter(pk=pk)
        if lock:
            can_name = connections[rows.db].features.has_select_for_update_of
            rows = rows.select_for_update(of=("self",) if can_name else ())
        found = rows.first()
        # It may have become another's before it was locked.
        if found is None or (lock and not self._is_among(found, context)):
            raise self._missing(key)
        return found

    def database(self, context: ToolContext) -> str:
        """Where the caller's rows are written: where they are read if that was said of them."""
        said: str | None = self.rows(context)._db  # type: ignore[attr-defined]
        return said or router.db_for_write(self.model)

    @contextmanager
    def transaction(self, context: ToolContext) -> Iterator[None]:
        """One transaction for one call; nothing of it stays if nobody waits for the call."""
        try:
            with transaction.atomic(using=self.database(context)):
                yield
                context.check()
        except IntegrityError:
            raise ToolError(
                f"The database refuses that: it contradicts another {self.verbose_name}, "
                "or something that belongs to it."
            ) from None
        except DataError:
            raise ToolError("The database does not take these values.") from None

    def fill(self, instance: models.Model, values: Mapping[str, Any], context: ToolContext) -> None:
        """Set named fields. A foreign key takes only what the caller may point at."""
        for path, value in values.items():
            name = self.editable[path].field.attname
            if path in self.related and value is not None:
                to = self.editable[path].field.target_field.attname  # type: ignore[attr-defined]
                if not self.related[path](context).filter(**{to: value}).exists():
                    raise ToolError(f"{path}: there is no such object.")
            setattr(instance, name, value)

    def validate(self, instance: models.Model, values: Mapping[str, Any] | None = None) -> None:
        """`Model.full_clean`; of an object that was there, only of the fields that are ``values``.

        Raises `ToolError` naming fields. What is wrong with a field that was not named is logged.
        """
        unchanged = (
            set()
            if values is None
            else {f.name for f in instance._meta.concrete_fields} - set(values)
        )
        wrong: dict[str, list[str]] = {}
        # As forms do it: old faults are in nobody's way, new contradictions are, with any field.
        checks: tuple[Callable[[], Any], ...] = (
            lambda: instance.clean_fields(exclude=unchanged),
            instance.clean,
            lambda: instance.validate_unique(exclude=set(wrong)),
            lambda: instance.validate_constraints(exclude=set(wrong)),
        )
        for check in checks:
            try:
                check()
            except ValidationError as error:
                for name, messages in error.update_error_dict({}).items():
                    said = ValidationError(messages).messages
                    wrong.setdefault(name, []).extend(m for m in said if m not in wrong[name])
        if wrong:
            raise ToolError(" ".join(self._told(wrong)))

    def _told(self, wrong: Mapping[str, list[str]]) -> Iterator[str]:
        for name, messages in wrong.items():
            if name in self.editable or name in self.columns:
                yield f"{name}: {' '.join(messages)}"
            elif name == "__all__":
                yield " ".join(messages)
            else:
                logger.error(
                    "%s.%s cannot be set by tools and is invalid: %s",
                    self.model.__name__,
                    name,
                    " ".join(messages),
                )
                yield f"Another field of the {self.verbose_name} is invalid."

    def confirm(self, instance: models.Model, context: ToolContext) -> None:
        """Raise `ToolError` if an object that was written is not the caller's."""
        if not self._is_among(instance, context):
            raise ToolError(f"That would be a {self.verbose_name} that is not the user's.")

    def _is_among(self, instance: models.Model, context: ToolContext) -> bool:
        """Whether an object is one of the caller's, where it is written."""
        return self.rows(context).using(instance._state.db).filter(pk=instance.pk).exists()

    def remove(self, instance: models.Model) -> None:
        """Delete it with all that belongs to it, or raise `ToolError`."""
        try:
            instance.delete()
        except (ProtectedError, RestrictedError):
            raise ToolError(f"Other things need this {self.verbose_name}: it stays.") from None

    def dependents(self, instance: models.Model, context: ToolContext) -> dict[str, int]:
        """What would be deleted with it: how many of what.

        Raises `ToolError` for what the user has no permission to delete, or what would keep it.
        """
        collector_class: Any = Collector
        collector = collector_class(using=instance._state.db, origin=instance)
        try:
            collector.collect([instance])
        except (ProtectedError, RestrictedError):
            raise ToolError(f"Other things need this {self.verbose_name}: it stays.") from None
        counts = {model: len(found) for model, found in collector.data.items()}
        for rows in collector.fast_deletes:
            counts[rows.model] = counts.get(rows.model, 0) + rows.count()
        meta = instance._meta
        mine = {type(instance), meta.concrete_model, *meta.all_parents}
        others = {
            model: count
            for model, count in counts.items()
            if count and model not in mine and not model._meta.auto_created
        }
        same = counts.get(type(instance), 1) - 1
        if self.checks_permissions:
            for model in others:
                if not context.user.has_perm(permission("delete", model)):
                    plural = model._meta.verbose_name_plural
                    raise ToolError(
                        f"The user has no permission to delete the {plural} "
                        f"that belong to this {self.verbose_name}."
                    )
        if same:
            others[type(instance)] = same
        return {_name(model, count): count for model, count in others.items()}

    def matching(
        self,
        context: ToolContext,
        words: Iterable[str],
        where: Mapping[str, Any],
        at_least: Mapping[str, Any],
        at_most: Mapping[str, Any],
    ) -> models.QuerySet[Any]:
        """The caller's rows that fit. The names are those of columns; that was seen to before."""
        rows = self.rows(context)
        for path, value in where.items():
            rows = rows.filter(**{f"{path}__isnull": True} if value is None else {path: value})
        for limits, lookup in ((at_least, "gte"), (at_most, "lte")):
            for path, value in limits.items():
                rows = rows.filter(**{f"{path}__{lookup}": value})
        for word in words:
            either = Q()
            for path, column in self.columns.items():
                if column.is_text:
                    either |= Q(**{f"{path}__icontains": word})
            rows = rows.filter(either)
        return rows


def permission(action: str, model: type[models.Model]) -> str:
    """The name of Django's own permission to ``view``, ``add``, ``change`` or ``delete``."""
    return f"{model._meta.app_label}.{get_permission_codename(action, model._meta)}"


def _name(model: type[models.Model], count: int) -> str:
    meta = model._meta
    return str(meta.verbose_name if count == 1 else meta.verbose_name_plural)


def check_defaults(table: Table, values: Mapping[str, Any]) -> None:
    """Raise `ImproperlyConfigured` for defaults that are no fields of the model."""
    names = {name for f in table.model._meta.concrete_fields for name in (f.name, f.attname)}
    if unknown := set(values) - names:
        raise ImproperlyConfigured(
            f"{table.model.__name__} has no field {', '.join(sorted(unknown))}."
        )
