"""Shapes of JSON objects: how one is described, and how a value is held to one."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

#: The largest integer that survives a JavaScript number.
MAX_SAFE_INTEGER: Final = 2**53 - 1

#: Takes a value and returns the value to send: the same object when nothing had to change.
Check = Callable[[Any], Any]


class Wrong(Exception):
    """A value of the wrong shape; the path grows while the error travels outwards."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def inside(self, place: str) -> "Wrong":
        """Say where the value stands in the object or list that holds it."""
        if not self.path or self.path.startswith("["):
            self.path = place + self.path
        else:
            self.path = f"{place}.{self.path}"
        return self


class Shape(NamedTuple):
    """What one kind of object must look like. Keys it does not name pass through."""

    fields: dict[str, Check | None]
    """Check per known key; None stands for "a string", the most common case."""
    required: tuple[str, ...]
    nullable: frozenset[str]
    """Optional keys: a null there means absent, and is left out."""
    defaults: dict[str, Callable[[], Any]]
    """What to put where a required key is absent and its value is beyond doubt."""


_EXTRA: Final = object()


def conform(form: Shape, value: Any) -> Any:
    """Return ``value`` in the given shape, the same object if nothing changes, or raise Wrong."""
    if not isinstance(value, dict):
        raise Wrong("must be an object")
    fields = form.fields
    dropped: list[str] | None = None
    changed: dict[str, Any] | None = None
    for key, item in value.items():
        check = fields.get(key, _EXTRA)
        if check is _EXTRA:
            continue
        if item is None and key in form.nullable:
            dropped = [key] if dropped is None else [*dropped, key]
        elif check is None:
            if not isinstance(item, str):
                raise Wrong("must be a string", key)
        else:
            try:
                kept = check(item)  # type: ignore[operator]
            except Wrong as error:
                raise error.inside(key) from None
            if kept is not item:
                changed = {} if changed is None else changed
                changed[key] = kept
    for key in form.required:
        if key not in value:
            raise Wrong("is missing", key)
    for key, make in form.defaults.items():
        if value.get(key) is None and (key not in value or key in form.nullable):
            changed = {} if changed is None else changed
            changed[key] = make()
    if dropped is not None:
        value = {key: item for key, item in value.items() if key not in dropped}
    if changed is not None:
        value = {**value, **changed}
    return value


def shape(
    required: Mapping[str, Check | None] | None = None,
    optional: Mapping[str, Check | None] | None = None,
    defaults: Mapping[str, Callable[[], Any]] | None = None,
) -> Shape:
    required, optional, defaults = required or {}, optional or {}, defaults or {}
    return Shape(
        fields={**required, **optional},
        required=tuple(key for key in required if key not in defaults),
        nullable=frozenset(optional),
        defaults=dict(defaults),
    )


def anything(value: Any) -> Any:
    return value


def text(value: Any) -> Any:
    if not isinstance(value, str):
        raise Wrong("must be a string")
    return value


def flag(value: Any) -> Any:
    if not isinstance(value, bool):
        raise Wrong("must be true or false")
    return value


def mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        raise Wrong("must be an object")
    return value


def moment(value: Any) -> Any:
    """A time stamp. AG-UI 1.0 wants an integer where ``time.time() * 1000`` gives a float."""
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Wrong("must be a number")
    if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        raise Wrong("must be a number JavaScript can hold")
    return value


def count(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Wrong("must be a whole number")
    if not 0 <= value <= MAX_SAFE_INTEGER:
        raise Wrong("must be a whole number, not negative")
    return value


def one_of(*values: str) -> Check:
    allowed = frozenset(values)
    problem = "must be " + " or ".join(f'"{value}"' for value in values)

    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise Wrong(problem)
        return value

    return check


def an(form: Shape) -> Check:
    return lambda value: conform(form, value)


def each(check: Check) -> Check:
    """A list of values that each pass ``check``."""

    def check_list(values: Any) -> Any:
        if not isinstance(values, list):
            raise Wrong("must be a list")
        changed: list[Any] | None = None
        for index, value in enumerate(values):
            try:
                kept = check(value)
            except Wrong as error:
                raise error.inside(f"[{index}]") from None
            if kept is not value:
                changed = list(values) if changed is None else changed
                changed[index] = kept
        return values if changed is None else changed

    return check_list


def by(key: str, shapes: Mapping[str, Shape]) -> Check:
    """An object whose ``key`` says which of the shapes it has."""
    problem = "must be one of " + ", ".join(shapes)

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("must be an object")
        kind = value.get(key)
        form = shapes.get(kind) if isinstance(kind, str) else None
        if form is None:
            raise Wrong(problem, key)
        return conform(form, value)

    return check


def text_or(check: Check) -> Check:
    return lambda value: value if isinstance(value, str) else check(value)
