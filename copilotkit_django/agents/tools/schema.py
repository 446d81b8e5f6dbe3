"""What a tool takes: read off a function's signature, told to models as JSON schema, enforced."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, get_args, get_origin, get_type_hints

import docstring_parser
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python
from typing_extensions import TypedDict

from copilotkit_django.agents.base import RunContext
from copilotkit_django.agents.tools.context import ToolContext
from copilotkit_django.exceptions import ToolError

#: So many mistakes in one call are told; a model that made more gets on with these first.
MOST_MISTAKES = 10


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a tool: its type, whether it must be there, what is said of it."""

    annotation: Any
    required: bool = True
    #: Told to the model; whoever leaves the argument out gets whatever the function does then.
    default: Any = None
    description: str = ""


class Arguments:
    """The arguments of one tool: ``schema`` for models, `validate` for what they send."""

    def __init__(self, name: str, parameters: Mapping[str, Parameter]) -> None:
        self._adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(typed_dict(name, parameters))
        schema = self._adapter.json_schema(schema_generator=_Untitled)
        schema.pop("title", None)
        schema.setdefault("properties", {})
        for key, parameter in parameters.items():
            if not parameter.required and parameter.default is not None:
                _set_default(schema["properties"][key], parameter.default)
        #: A JSON schema of type ``object`` that allows nothing else.
        self.schema: dict[str, Any] = schema

    def validate(self, arguments: Any) -> dict[str, Any]:
        """The arguments as Python values. Raises `ToolError` saying what is wrong with which."""
        if not isinstance(arguments, Mapping):
            raise ToolError("The arguments must be a JSON object.")
        try:
            # As JSON: "2026-01-31" is a date there, also to types that are strict.
            return self._adapter.validate_json(to_json(arguments))
        except ValidationError as error:
            raise ToolError(f"Invalid arguments. {_mistakes(error)}") from None
        except (PydanticSerializationError, ValueError, RecursionError):
            raise ToolError("The arguments cannot be read as JSON.") from None


class _Untitled(GenerateJsonSchema):
    """Titles repeat the names of what they stand at; a model pays for them as tokens."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def typed_dict(name: str, parameters: Mapping[str, Parameter]) -> Any:
    """A type of objects with these keys and no others."""
    # Types made at run time, of which type checkers know only the literal forms.
    make: Any = TypedDict
    optional: Any = NotRequired
    fields: dict[str, Any] = {}
    for key, parameter in parameters.items():
        hint = parameter.annotation
        if parameter.description:
            hint = _described(hint, parameter.description)
        fields[key] = hint if parameter.required else optional[hint]
    made = make(name, fields)
    made.__pydantic_config__ = ConfigDict(extra="forbid")
    return made


def _described(hint: Any, text: str) -> Any:
    annotated: Any = Annotated
    # Before what is annotated already: the later description wins.
    inner, *more = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    return annotated[(inner, Field(description=text), *more)]


def _set_default(schema: dict[str, Any], default: Any) -> None:
    try:
        schema["default"] = to_jsonable_python(default)
    except PydanticSerializationError:
        return


def _mistakes(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    said = [
        f"{'.'.join(map(str, mistake['loc'])) or 'arguments'}: {mistake['msg']}."
        for mistake in found[:MOST_MISTAKES]
    ]
    if len(found) > MOST_MISTAKES:
        said.append(f"And {len(found) - MOST_MISTAKES} more.")
    return " ".join(said)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function says of itself as a tool."""

    description: str
    arguments: Arguments
    takes_context: bool


def read(function: Callable[..., Any], name: str) -> Signature:
    """Read a function as a tool: its type hints, its defaults, its docstring.

    The docstring may describe parameters in the style of Google, NumPy, Sphinx or Epydoc. Raises
    `TypeError` naming what a model could not be told.
    """
    try:
        signature = inspect.signature(function)
        hints = get_type_hints(_annotated(function), include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        raise TypeError(f"The signature of tool {name!r} cannot be read: {error}.") from error
    described = docstring_parser.parse(inspect.getdoc(_documented(function)) or "")
    texts = {p.arg_name: " ".join((p.description or "").split()) for p in described.params}
    takes_context = False
    parameters: dict[str, Parameter] = {}
    for index, (key, parameter) in enumerate(signature.parameters.items()):
        hint = hints.get(key)
        if hint is ToolContext and index == 0:
            takes_context = True
            continue
        parameters[key] = _parameter(name, parameter, hint, texts.get(key, ""))
    try:
        arguments = Arguments(name, parameters)
    except (PydanticUserError, TypeError) as error:
        raise TypeError(f"Tool {name!r} takes what JSON cannot say: {error}") from error
    return Signature(described.description or "", arguments, takes_context)


def _parameter(tool: str, parameter: inspect.Parameter, hint: Any, text: str) -> Parameter:
    if hint in (ToolContext, RunContext):
        raise TypeError(
            f"Tool {tool!r}: only its first argument may be the context, and only a ToolContext "
            f"({parameter.name!r} is a {hint.__name__})."
        )
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise TypeError(f"Tool {tool!r}: a model cannot be told what {parameter} takes.")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise TypeError(f"Tool {tool!r}: {parameter.name!r} must not be positional-only.")
    if parameter.annotation is parameter.empty:
        raise TypeError(f"Tool {tool!r}: {parameter.name!r} has no type hint.")
    required = parameter.default is parameter.empty
    return Parameter(hint, required, None if required else parameter.default, text)


def _annotated(function: Callable[..., Any]) -> Any:
    """Where the type hints of a callable are: behind partials, bound methods, ``__call__``."""
    function = _documented(function)
    if inspect.isroutine(function) or inspect.isfunction(function):
        return function
    return type(function).__call__


def _documented(function: Any) -> Any:
    while hasattr(function, "func"):
        function = function.func
    return function
