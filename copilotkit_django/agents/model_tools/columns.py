"""The fields of a model as arguments and results of tools: only those that were named."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from django.core.exceptions import FieldDoesNotExist
from django.core.validators import BaseValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.constants import LOOKUP_SEP
from django.utils import timezone
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

#: What values of a field are in Python. The first that fits counts: a DateTimeField is a DateField.
_TYPES: tuple[tuple[type[models.Field[Any, Any]], Any], ...] = (
    (models.BooleanField, bool),
    (models.IntegerField, int),
    (models.FloatField, float),
    (models.DecimalField, decimal.Decimal),
    (models.DateTimeField, datetime.datetime),
    (models.DateField, datetime.date),
    (models.TimeField, datetime.time),
    (models.DurationField, datetime.timedelta),
    (models.UUIDField, uuid.UUID),
    (models.CharField, str),
    (models.TextField, str),
    (models.FilePathField, str),
    (models.GenericIPAddressField, str),
    (models.FileField, str),
)

#: Types with an order that people ask about: from, until, at least.
_ORDERED = (int, float, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta)

#: Of what a database can store as a whole number, the first that is too large.
_LARGEST = 2**63

#: More choices than this are not listed to the model; it finds out by being refused.
MOST_CHOICES = 50


@dataclass(frozen=True)
class Column:
    """A field that was named: of the model, or, with ``__`` in its path, of one it refers to."""

    path: str
    field: models.Field[Any, Any]

    @classmethod
    def find(cls, model: type[models.Model], path: str) -> Column:
        """The field of that name. Raises `ValueError` for what tools cannot work on."""
        *steps, last = path.split(LOOKUP_SEP)
        here: Any = model
        try:
            for step in steps:
                field = here._meta.get_field(step)
                if not (field.concrete and (field.many_to_one or field.one_to_one)):
                    raise ValueError(f"{path!r}: {step!r} does not lead to one other object.")
                here = field.related_model
            field = here._meta.get_field(last)
        except FieldDoesNotExist:
            raise ValueError(f"{model.__name__} has no field {path!r}.") from None
        if not isinstance(field, models.Field) or field.many_to_many or not field.concrete:
            raise ValueError(f"{path!r} is no column; write a tool of your own for it.")
        if isinstance(field, models.BinaryField):
            raise ValueError(f"{path!r} holds bytes, which models cannot read.")
        return cls(path, field)

    @cached_property
    def target(self) -> models.Field[Any, Any]:
        """The field whose values these are: of a foreign key what it points at."""
        field: Any = self.field
        while field.remote_field is not None:
            field = field.target_field
        return field  # type: ignore[no-any-return]

    @cached_property
    def python_type(self) -> Any:
        """The Python type of its values; ``Any`` for what the field itself has to make sense of."""
        return next((made for kind, made in _TYPES if isinstance(self.target, kind)), Any)

    @property
    def is_text(self) -> bool:
        """Whether words can be searched for in it."""
        return self.python_type is str and not self.field.choices and not self.field.is_relation

    @property
    def is_ordered(self) -> bool:
        """Whether it makes sense to ask for at least or at most some value."""
        if self.field.is_relation or self.field.choices or self.python_type is bool:
            return False
        return isinstance(self.python_type, type) and issubclass(self.python_type, _ORDERED)

    @property
    def is_writable(self) -> bool:
        """Whether a tool may set it at all."""
        return (
            LOOKUP_SEP not in self.path
            and self.field.editable
            and not self.field.generated
            and not isinstance(self.field, (models.AutoField, models.FileField))
        )

    @property
    def is_required(self) -> bool:
        """Whether a new object needs to be given it."""
        field = self.field
        return not (field.null or field.blank or field.has_default() or field.has_db_default())

    @property
    def is_comparable(self) -> bool:
        """Whether rows can be asked for by a value of it."""
        return self.python_type is not Any

    @property
    def is_sortable(self) -> bool:
        """Whether rows can be put in its order. A foreign key would sort by what it points at."""
        return self.is_comparable and not self.field.is_relation

    def is_longer_than(self, length: int) -> bool:
        """Whether its texts may be longer, and the database itself can cut them.

        Not those of other people's fields that read what is stored in a way of their own.
        """
        return (
            isinstance(self.target, (models.CharField, models.TextField))
            and not hasattr(self.field, "from_db_value")
            and (self.target.max_length or length + 1) > length
        )

    def annotation(self) -> Any:
        """The type of an argument that is a value of it, with what bounds it."""
        made = self._choices() or self._bounded(self.python_type)
        return made | None if self.field.null else made

    def bound(self) -> Any:
        """The type of an argument its values are compared with."""
        return self._bounded(self.python_type)

    def _choices(self) -> Any:
        if not self.field.choices:
            return None
        values = [value for value, _ in flat(self.field.choices) if value is not None]
        if self.field.blank and self.python_type is str and "" not in values:
            values.append("")
        # Literals are texts and numbers; what else choices may be, the field sees to.
        if not values or len(values) > MOST_CHOICES:
            return None
        if not all(isinstance(value, (str, int)) for value in values):
            return None
        literal: Any = Literal
        return literal[tuple(values)]

    def _bounded(self, made: Any) -> Any:
        limits: dict[str, Any] = {}
        if made is str:
            limits["max_length"] = self.target.max_length
        more: list[Any] = [AfterValidator(_CHECKS[made])] if made in _CHECKS else []
        if made is int:
            more.append(BeforeValidator(_no_truth))
            limits["ge"] = self._limit(MinValueValidator, max)
            limits["le"] = self._limit(MaxValueValidator, min)
        if made is decimal.Decimal:
            limits["max_digits"] = getattr(self.target, "max_digits", None)
            limits["decimal_places"] = getattr(self.target, "decimal_places", None)
            # Texts are taken, too, but models write numbers.
            more.append(WithJsonSchema({"type": "number"}))
        if made is float:
            limits["allow_inf_nan"] = False
        limits = {name: value for name, value in limits.items() if value is not None}
        annotated: Any = Annotated
        return annotated[(made, Field(**limits), *more)] if limits or more else made

    def _limit(
        self, kind: type[BaseValidator], strictest: Callable[[list[int]], int]
    ) -> int | None:
        limits = [v.limit_value for v in self.target.validators if isinstance(v, kind)]
        values = [limit() if callable(limit) else limit for limit in limits]
        # The ends of 64 bits are checked in another place: they say nothing to a model.
        values = [value for value in values if -_LARGEST < value < _LARGEST - 1]
        return strictest(values) if values else None

    def describe(self) -> str:
        """What a model is told of it: label, help text, what its choices mean."""
        field = self.field
        parts = []
        if str(field.verbose_name).replace(" ", "_").lower() != field.name:
            parts.append(f"{str(field.verbose_name)[:1].upper()}{str(field.verbose_name)[1:]}.")
        if field.help_text:
            parts.append(str(field.help_text).rstrip(".") + ".")
        if field.is_relation:
            other: Any = field.related_model
            parts.append(f"The {self.target.name} of one {other._meta.verbose_name}.")
        listed = flat(field.choices or ())[:MOST_CHOICES]
        if any(str(value) != str(label) for value, label in listed):
            parts.append(", ".join(f"{value} = {label}" for value, label in listed) + ".")
        return " ".join(parts)


def flat(choices: Any) -> list[tuple[Any, Any]]:
    """The pairs of choices, those in groups too."""
    pairs: list[tuple[Any, Any]] = []
    for value, label in choices:
        pairs += flat(label) if isinstance(label, (list, tuple)) else [(value, label)]
    return pairs


def columns_of(model: type[models.Model], paths: Iterable[str]) -> dict[str, Column]:
    """The named fields. Raises `ValueError` for a name that is none, or a single text."""
    if isinstance(paths, str):
        raise ValueError(f"fields is {paths!r}: name them in a list.")
    return {path: Column.find(model, path) for path in paths}


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("is true or false, not a number")
    return value


def _storable(number: int) -> int:
    if not -_LARGEST <= number < _LARGEST:
        raise ValueError("is too large")
    return number


def _without_nul(text: str) -> str:
    # PostgreSQL cannot store it, and no other database is asked to.
    if "\x00" in text:
        raise ValueError("holds a NUL character")
    return text


def _aware(moment: datetime.datetime) -> datetime.datetime:
    from django.conf import settings

    if settings.USE_TZ and timezone.is_naive(moment):
        return timezone.make_aware(moment)
    if not settings.USE_TZ and timezone.is_aware(moment):
        return timezone.make_naive(moment)
    return moment


def _without_zone(time: datetime.time) -> datetime.time:
    # JSON schema wants a zone with each time; a TimeField has none, and most databases refuse it.
    return time.replace(tzinfo=None)


_CHECKS: dict[Any, Callable[[Any], Any]] = {
    int: _storable,
    str: _without_nul,
    datetime.datetime: _aware,
    datetime.time: _without_zone,
}
