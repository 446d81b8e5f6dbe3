"""What the values of settings may be: each check says what is wrong with one, or ``None``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from copilotkit_django.budgets import budgets_from, callable_from
from copilotkit_django.forwarding import HeaderPolicy
from copilotkit_django.rates import rates_from

#: Says what is wrong with a value, or ``None``.
Check = Callable[[Any], str | None]

HOOKS = ("on_request", "on_before_handler", "on_response", "on_error")

AUTHENTICATION_MODES = ("session", "anonymous", "anonymous-shared")


def check_callable(value: Any) -> str | None:
    if value is None or callable(value):
        return None
    if not isinstance(value, str):
        return f"{value!r} is neither a callable nor the dotted path of one."
    problem = check_importable(value)
    if problem is None and not callable(import_string(value)):
        return f"{value!r} is not callable."
    return problem


def check_importable(value: str) -> str | None:
    try:
        import_string(value)
    except ImportError as error:
        return f"{value!r} cannot be imported: {error}."
    return None


def check_object(value: Any) -> str | None:
    return check_importable(value) if isinstance(value, str) else None


def check_hooks(value: Any) -> str | None:
    problem = check_object(value)
    if problem is not None or value is None:
        return problem
    hooks = import_string(value) if isinstance(value, str) else value
    if isinstance(hooks, Mapping):
        unknown = hooks.keys() - HOOKS
        if unknown:
            names = ", ".join(sorted(map(str, unknown)))
            return f"{names}: no such hook; there are {', '.join(HOOKS)}."
        return None
    if not any(callable(getattr(hooks, name, None)) for name in HOOKS):
        return f"{value!r} has none of {', '.join(HOOKS)}."
    return None


def check_runner(value: Any) -> str | None:
    return "a runner is required." if value is None else check_object(value)


def check_agents(value: Any) -> str | None:
    from copilotkit_django.agents.registry import AgentRegistry

    try:
        AgentRegistry(value)
    except ImproperlyConfigured as error:
        return str(error)
    return None


def check_agent_middleware(value: Any) -> str | None:
    from copilotkit_django.agents.middleware.stack import MiddlewareStack

    lists = value.values() if isinstance(value, Mapping) else [value]
    if any(isinstance(each, str) or not isinstance(each, Iterable) for each in lists):
        return f"{value!r} is neither a list of middleware nor a mapping of agent ids to lists."
    try:
        MiddlewareStack(value)
    except ImproperlyConfigured as error:
        return str(error)
    return None


def check_a2ui(value: Any) -> str | None:
    from copilotkit_django.agents.middleware.stack import MiddlewareStack

    try:
        MiddlewareStack(a2ui=value)
    except ImproperlyConfigured as error:
        return str(error)
    return None


def check_mcp_apps(value: Any) -> str | None:
    from copilotkit_django.agents.middleware.stack import MiddlewareStack

    # Never with the value, which holds credentials.
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        return f"a list of MCP servers is needed, not {type(value).__name__}."
    try:
        MiddlewareStack(mcp_apps=value)
    except ImproperlyConfigured as error:
        return str(error)
    return None


def check_authentication(value: Any) -> str | None:
    if value in AUTHENTICATION_MODES:
        return None
    if isinstance(value, str) and "." not in value:
        close = difflib.get_close_matches(value, AUTHENTICATION_MODES, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        return f"{value!r} is not one of {', '.join(AUTHENTICATION_MODES)}.{guess}"
    return check_callable(value) if value is not None else "a value is required."


def check_header_policy(value: Any) -> str | None:
    try:
        HeaderPolicy.from_options(value)
    except (ValueError, TypeError, AttributeError) as error:
        return str(error)
    return None


def check_rates(value: Any) -> str | None:
    try:
        rates_from(value)
    except ValueError as error:
        return str(error)
    return None


def check_budgets(value: Any) -> str | None:
    try:
        if callable_from(value) is None:
            budgets_from(value)
    except ValueError as error:
        return str(error)
    return None


def check_number(*, above: float | None = None, at_least: float | None = None) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f"{value!r} is not a number."
        if above is not None and not value > above:
            return f"{value!r} is not above {above}."
        if at_least is not None and not value >= at_least:
            return f"{value!r} is below {at_least}."
        return None

    return check


def check_bytes(value: Any) -> str | None:
    # Compared with lengths and passed to read(), which takes no floats: 1e6 is not a size.
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{value!r} is not a whole number of bytes."
    return None if value > 0 else f"{value!r} is not above 0."


def check_none_or(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def check_count(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{value!r} is not a whole number."
    return None if value > 0 else f"{value!r} is not above 0."


def check_one_of(*choices: Any) -> Check:
    def check(value: Any) -> str | None:
        if any(value is choice or value == choice for choice in choices):
            return None
        return f"{value!r} is not one of {', '.join(map(repr, choices))}."

    return check


def check_agent_ids(value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) or not all(isinstance(agent_id, str) for agent_id in value):
        return f"{value!r} is neither true or false nor a list of agent ids."
    return None


def check_origins(value: Any) -> str | None:
    if isinstance(value, str) or not all(isinstance(origin, str) for origin in value):
        return f"{value!r} is not a list of origins."
    for origin in value:
        scheme, separator, rest = origin.partition("://")
        if origin != "*" and (not separator or not scheme or not rest or "/" in rest):
            return f"{origin!r} is not an origin such as 'https://app.example.com'."
    return None


def check_socket_url(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not value.startswith(("/", "ws://", "wss://")):
        return f"{value!r} is neither a path nor a ws:// or wss:// URL."
    if value.endswith(("/", "/websocket")):
        return f"{value!r} must not end like that: clients add '/websocket'."
    return None
