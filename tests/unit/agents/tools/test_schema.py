"""What models are told of a tool, and what is made of the arguments they send."""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import uuid
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from copilotkit_django import RunContext, ToolContext, tool

from .calling import complaint, content


class Priority(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Place(BaseModel):
    """Where it is."""

    model_config = ConfigDict(strict=True)

    city: str
    since: datetime.date | None = None


def google(title: str, due: datetime.date | None = None, priority: Priority = Priority.LOW):
    """Add an entry.

    It goes to the end.

    Args:
        title: What is
            to be done.
        due: By when.

    Returns:
        Nothing of interest.
    """


def numpy(title: str, due: datetime.date | None = None, priority: Priority = Priority.LOW):
    """Add an entry.

    It goes to the end.

    Parameters
    ----------
    title : str
        What is to be done.
    due : date
        By when.
    """


def sphinx(title: str, due: datetime.date | None = None, priority: Priority = Priority.LOW):
    """Add an entry.

    It goes to the end.

    :param title: What is to be done.
    :param due: By when.
    :returns: Nothing of interest.
    """


@pytest.mark.parametrize("function", [google, numpy, sphinx])
def test_schema__docstring_styles(function):
    """Description and parameters are found in every common style, the rest is left out."""
    made = tool(function)

    assert made.name == function.__name__
    assert made.description == "Add an entry.\n\nIt goes to the end."
    assert made.parameters == {
        "type": "object",
        "additionalProperties": False,
        "required": ["title"],
        "properties": {
            "title": {"type": "string", "description": "What is to be done."},
            "due": {
                "anyOf": [{"type": "string", "format": "date"}, {"type": "null"}],
                "description": "By when.",
            },
            "priority": {"$ref": "#/$defs/Priority", "default": "low"},
        },
        "$defs": {"Priority": {"enum": ["low", "high"], "title": "Priority", "type": "string"}},
    }


def test_schema__nothing_to_pass():
    """A tool without arguments is told as an object without properties."""

    @tool
    def ping() -> str:
        """Answer."""
        return "pong"

    assert ping.parameters == {"type": "object", "properties": {}, "additionalProperties": False}
    assert ping() == "pong"


def test_schema__context_is_left_out():
    """The context comes from the run, not from the model."""

    @tool
    def whoami(context: ToolContext, formal: bool = False) -> str:
        return "nobody"

    assert whoami.takes_context
    assert list(whoami.parameters["properties"]) == ["formal"]


def test_schema__annotated():
    """A description in the annotation wins over the docstring; limits are told."""

    @tool
    def take(count: Annotated[int, Field(ge=1, le=9, description="How many.")]) -> str:
        """Take some.

        Args:
            count: Something else.
        """
        return str(count)

    assert take.parameters["properties"]["count"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "description": "How many.",
    }


async def test_arguments__python_values():
    """The function gets what its hints say, read as JSON is read."""

    @tool
    def show(
        day: datetime.date,
        price: decimal.Decimal,
        key: uuid.UUID,
        priority: Priority,
        place: Place,
        mode: Literal["a", "b"] = "a",
        tags: tuple[str, ...] = ("x",),
    ) -> str:
        return repr((day, price, key.int, priority, place.city, place.since, mode, tags))

    arguments = {
        "day": "2026-01-31",
        "price": "1.50",
        "key": str(uuid.UUID(int=7)),
        "priority": "high",
        "place": {"city": "Ulm", "since": "2020-02-29"},
        "tags": ["y"],
    }
    assert await content(show, arguments) == repr(
        (
            datetime.date(2026, 1, 31),
            decimal.Decimal("1.50"),
            7,
            Priority.HIGH,
            "Ulm",
            datetime.date(2020, 2, 29),
            "a",
            ("y",),
        )
    )


@tool
def move(count: int, where: Literal["left", "right"], names: list[str] | None = None) -> str:
    return "moved"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"where": "left"}, "count: Field required."),
        ({"count": "many", "where": "left"}, "count: Input should be a valid integer"),
        ({"count": 1, "where": "up"}, "where: Input should be 'left' or 'right'."),
        ({"count": 1, "where": "left", "why": 1}, "why: Extra inputs are not permitted."),
        ({"count": 1, "where": "left", "names": [1]}, "names.0: Input should be a valid string."),
        (["count"], "The arguments must be a JSON object."),
        ("count", "The arguments must be a JSON object."),
        ({"count": 1, "where": "left", "names": ["\ud800"]}, "cannot be read as JSON"),
    ],
)
async def test_arguments__wrong(arguments, said):
    """A model is told which argument is wrong and why, and nothing is called."""
    assert said in await complaint(move, arguments)


async def test_arguments__many_mistakes():
    """A hundred mistakes make no hundred lines."""
    text = await complaint(move, {f"x{number}": 1 for number in range(100)})

    assert text.count(":") == 10
    assert text.endswith("And 92 more.")


class Greeter:
    def greet(self, context: ToolContext, name: str) -> str:
        """Greet somebody."""
        return f"Hello {name}"

    def __call__(self, name: str) -> str:
        return f"Hi {name}"


async def test_tool__bound_method():
    """A method is a tool once it is bound."""
    assert await content(tool(Greeter().greet), {"name": "Ada"}) == "Hello Ada"


async def test_tool__partial_and_object():
    """Whatever can be called can be a tool; a partial is called by its own name."""
    partial = functools.partial(google, "x")

    assert list(tool(name="add")(partial).parameters["properties"]) == ["due", "priority"]
    assert await content(tool(name="greet")(Greeter()), {"name": "Ada"}) == "Hi Ada"


def unhinted(x):
    return x


def starred(*x: int):
    return x


def keywords(**x: int):
    return x


def positional(x: int, /):
    return x


def late_context(x: int, context: ToolContext):
    return x


def run_of(context: RunContext):
    return context


def opaque(x: Greeter):
    return x


def unknown(x: Nowhere):  # noqa: F821
    return x


def generator(x: int):
    yield x


async def generator_too(x: int):
    yield x


@pytest.mark.parametrize(
    "function",
    [
        unhinted,
        starred,
        keywords,
        positional,
        late_context,
        run_of,
        opaque,
        unknown,
        generator,
        generator_too,
    ],
)
def test_tool__impossible_signature(function):
    """What a model cannot be told is refused where it is decorated, by name."""
    with pytest.raises(TypeError, match=function.__name__):
        tool(function)


@pytest.mark.parametrize("name", ["", "two words", "x" * 65, "ü", "1st", "a.b"])
def test_tool__impossible_name(name):
    """Names that some provider refuses are refused here."""
    with pytest.raises(ValueError, match="no name for a tool"):
        tool(name=name or "-")(move.function)


def test_tool__decorator_used_twice():
    """One decorator with options makes any number of tools."""
    decorate = tool(name="go", description="Goes.", timeout=None)

    assert [decorate(google).name, decorate(numpy).name] == ["go", "go"]
    assert decorate(sphinx).description == "Goes."
