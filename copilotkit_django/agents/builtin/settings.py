"""What one call of the model is made with, and which of it the page may choose."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

logger = logging.getLogger("copilotkit.run")

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")

#: What may follow the model's name in ``forwardedProps``, as the page spells it.
OVERRIDABLE = (
    "model",
    "prompt",
    "toolChoice",
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "presencePenalty",
    "frequencyPenalty",
    "stopSequences",
    "seed",
    "maxRetries",
    "providerOptions",
)

#: Settings of pydantic-ai for any provider whose names read like those of one: `extra_headers`
#: like `headers` of a provider `extra`. They are not for pages.
GENERAL = frozenset(
    [
        "extra_body",
        "extra_headers",
        "first_event_timeout",
        "framing_announcement",
        "frequency_penalty",
        "logit_bias",
        "max_retries",
        "max_tokens",
        "parallel_tool_calls",
        "presence_penalty",
        "request_timeout",
        "service_tier",
        "stop_sequences",
        "tool_choice",
        "top_k",
        "top_p",
    ]
)

#: Our names for what pydantic-ai calls otherwise.
_ENGINE_NAMES = {"max_output_tokens": "max_tokens"}


@dataclass(frozen=True, slots=True)
class CallSettings:
    """The options of a model call, as `BuiltInAgent` takes them; ``None``: left to the provider.

    ``tool_choice``: ``"auto"``, ``"required"``, ``"none"``, or the name of a tool in
    ``{"type": "tool", "toolName": …}``. ``provider_options`` are grouped by provider, such as
    ``{"openai": {"reasoningEffort": "low"}}``; what is not in a group goes to any provider by the
    name pydantic-ai has for it (``{"thinking": "low"}``).
    """

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop_sequences: Sequence[str] | None = None
    seed: int | None = None
    max_retries: int | None = None
    tool_choice: Any = None
    provider_options: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `ValueError` or `TypeError` for a value no model could be called with."""
        for known in fields(self):
            value = getattr(self, known.name)
            is_right = _CHECKS[known.name]
            if value is not None and not is_right(value):
                raise TypeError(f"{known.name}={value!r} cannot be used.")

    def for_engine(self) -> dict[str, Any]:
        """As pydantic-ai takes them, without the choice of a tool."""
        options: dict[str, Any] = {}
        for name, value in self.provider_options.items():
            if isinstance(value, Mapping):
                group = snake(name)
                options |= {f"{group}_{snake(key)}": _snaked(v) for key, v in value.items()}
            else:
                options[snake(name)] = value
        for known in fields(self):
            value = getattr(self, known.name)
            if known.name not in ("tool_choice", "provider_options") and value is not None:
                value = list(value) if known.name == "stop_sequences" else value
                options[_ENGINE_NAMES.get(known.name, known.name)] = value
        return options


def overridable(names: Iterable[str]) -> frozenset[str]:
    """The properties a project lets pages choose, in either spelling, as pages spell them.

    Raises `ValueError` for a name there is no property of.
    """
    if isinstance(names, str):
        raise TypeError("overridable_properties is a list of names, not a text.")
    chosen = set()
    for name in names:
        spelled = re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
        if spelled not in OVERRIDABLE:
            raise ValueError(
                f"{name!r} cannot be overridden; there are {', '.join(sorted(OVERRIDABLE))}."
            )
        chosen.add(spelled)
    return frozenset(chosen)


def overridden(
    settings: CallSettings, properties: Any, allowed: frozenset[str]
) -> tuple[CallSettings, str | None]:
    """The settings with what the page chose of what it may, and the model it chose, if any.

    Properties that may not be chosen, or are of the wrong type, are left as they were.
    """
    if not allowed or not isinstance(properties, Mapping):
        return settings, None
    changes: dict[str, Any] = {}
    model = None
    for name in allowed & properties.keys():
        value = properties[name]
        if name == "model" and isinstance(value, str):
            model = value
        elif name not in ("model", "prompt") and _may_choose(name, value):
            changes[snake(name)] = value
        elif name != "prompt":
            logger.warning("forwardedProps.%s is of the wrong type and left out.", name)
    return replace(settings, **changes), model


def chosen_tool(choice: Any) -> str | None:
    """The tool a choice is of, in the form of the original or of its client."""
    if not isinstance(choice, Mapping):
        return None
    if choice.get("type") == "tool":
        name = choice.get("toolName")
    else:
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else None


def snake(name: str) -> str:
    return _HUMP.sub(r"_\1", name).replace("-", "_").lower()


def _snaked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {snake(key): _snaked(inner) for key, inner in value.items()}
    return [_snaked(inner) for inner in value] if isinstance(value, list) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)


def _is_choice(value: Any) -> bool:
    return (
        value in ("auto", "required", "none")
        if isinstance(value, str)
        else bool(chosen_tool(value))
    )


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "max_output_tokens": _is_count,
    "temperature": _is_number,
    "top_p": _is_number,
    "top_k": _is_number,
    "presence_penalty": _is_number,
    "frequency_penalty": _is_number,
    "stop_sequences": _is_texts,
    "seed": _is_number,
    "max_retries": _is_count,
    "tool_choice": _is_choice,
    "provider_options": _is_mapping,
}


def _may_choose(name: str, value: Any) -> bool:
    if name == "providerOptions":
        # Only what is grouped by provider: headers, for one, are no business of a page.
        return (
            isinstance(value, Mapping)
            and all(isinstance(group, Mapping) for group in value.values())
            and GENERAL.isdisjoint(
                f"{snake(provider)}_{snake(key)}" for provider in value for key in value[provider]
            )
        )
    return _CHECKS[snake(name)](value)
