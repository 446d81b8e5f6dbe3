"""The settings: one ``COPILOTKIT`` dict, typed, with defaults, checked in one place.

Every option is also a keyword argument of `Runtime`, in lower case.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from copilotkit_django.forwarding import HeaderPolicy
from copilotkit_django.rates import rates_from

#: The name of the dict in the project's settings.
NAME = "COPILOTKIT"

#: Says what is wrong with a value, or ``None``.
Check = Callable[[Any], str | None]


def option(doc: str, default: Any, check: Check, *, importable: bool = False) -> Any:
    """A field of `Options`: what it does, its default, and how its values are checked.

    ``importable``: a text with a dot in it is the dotted path of the value.
    """
    metadata = {"doc": doc, "check": check, "importable": importable}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: default.copy(), metadata=metadata)
    return field(default=default, metadata=metadata)


def _callable(value: Any) -> str | None:
    if value is None or callable(value):
        return None
    if not isinstance(value, str):
        return f"{value!r} is neither a callable nor the dotted path of one."
    problem = _importable(value)
    if problem is None and not callable(import_string(value)):
        return f"{value!r} is not callable."
    return problem


def _importable(value: str) -> str | None:
    try:
        import_string(value)
    except ImportError as error:
        return f"{value!r} cannot be imported: {error}."
    return None


def _object(value: Any) -> str | None:
    return _importable(value) if isinstance(value, str) else None


def _hooks(value: Any) -> str | None:
    problem = _object(value)
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


def _runner(value: Any) -> str | None:
    return "a runner is required." if value is None else _object(value)


def _agents(value: Any) -> str | None:
    from copilotkit_django.agents.registry import AgentRegistry

    try:
        AgentRegistry(value)
    except ImproperlyConfigured as error:
        return str(error)
    return None


def _authentication(value: Any) -> str | None:
    if value in AUTHENTICATION_MODES:
        return None
    if isinstance(value, str) and "." not in value:
        close = difflib.get_close_matches(value, AUTHENTICATION_MODES, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        return f"{value!r} is not one of {', '.join(AUTHENTICATION_MODES)}.{guess}"
    return _callable(value) if value is not None else "a value is required."


def _headers(value: Any) -> str | None:
    try:
        HeaderPolicy.from_options(value)
    except (ValueError, TypeError, AttributeError) as error:
        return str(error)
    return None


def _rates(value: Any) -> str | None:
    try:
        rates_from(value)
    except ValueError as error:
        return str(error)
    return None


def _number(*, above: float | None = None, at_least: float | None = None) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f"{value!r} is not a number."
        if above is not None and not value > above:
            return f"{value!r} is not above {above}."
        if at_least is not None and not value >= at_least:
            return f"{value!r} is below {at_least}."
        return None

    return check


def _bytes(value: Any) -> str | None:
    # Compared with lengths and passed to read(), which takes no floats: 1e6 is not a size.
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{value!r} is not a whole number of bytes."
    return None if value > 0 else f"{value!r} is not above 0."


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _count(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{value!r} is not a whole number."
    return None if value > 0 else f"{value!r} is not above 0."


def _choice(*choices: Any) -> Check:
    def check(value: Any) -> str | None:
        if any(value is choice or value == choice for choice in choices):
            return None
        return f"{value!r} is not one of {', '.join(map(repr, choices))}."

    return check


def _agent_ids(value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) or not all(isinstance(agent_id, str) for agent_id in value):
        return f"{value!r} is neither true or false nor a list of agent ids."
    return None


def _origins(value: Any) -> str | None:
    if isinstance(value, str) or not all(isinstance(origin, str) for origin in value):
        return f"{value!r} is not a list of origins."
    for origin in value:
        scheme, separator, rest = origin.partition("://")
        if origin != "*" and (not separator or not scheme or not rest or "/" in rest):
            return f"{origin!r} is not an origin such as 'https://app.example.com'."
    return None


HOOKS = ("on_request", "on_before_handler", "on_response", "on_error")

AUTHENTICATION_MODES = ("session", "anonymous", "anonymous-shared")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one endpoint, with the defaults filled in."""

    agents: Any = option(
        "The agents: a mapping of id to agent, a list of named agents, or a factory that is called "
        "with each request and returns either. Agents are `Agent` objects, async generator "
        "functions taking the run context, or dotted paths; so may the whole value be.",
        {},
        _agents,
    )
    runner: Any = option(
        "Who owns what happens to a thread: an `AgentRunner`, a class of one or a dotted path.",
        "copilotkit_django.runners.database.DatabaseRunner",
        _runner,
        importable=True,
    )
    authentication: Any = option(
        "Who may call. `session`: signed-in Django users, everybody else gets 401. `anonymous`: "
        "anybody, each browser in a scope of its own (a signed cookie); signed-in users in theirs. "
        "`anonymous-shared`: anybody, all in one scope; for tests. Or a callable (sync or async) "
        "or its dotted path: it takes the request and returns a user, a `(user, scope)` pair, "
        "`None` for nobody (401), or a response, which it may also raise with `ShortCircuit`.",
        "session",
        _authentication,
        importable=True,
    )
    thread_scope: Any = option(
        "Whose threads a signed-in user works on: a callable taking the request and the user and "
        "returning a text such as `team:7`. By default each user has a scope of their own.",
        None,
        _callable,
        importable=True,
    )
    hooks: Any = option(
        "An object or mapping with any of `on_request`, `on_before_handler`, `on_response`, "
        "`on_error`, or the dotted path of one (a class is instantiated).",
        None,
        _hooks,
        importable=True,
    )
    before_request_middleware: Any = option(
        "Called with every request before it is routed; may answer it or replace it.",
        None,
        _callable,
        importable=True,
    )
    after_request_middleware: Any = option(
        "Called with what was answered, after the answer (a stream: its end) was sent.",
        None,
        _callable,
        importable=True,
    )
    transcription_service: Any = option(
        "Turns recordings into text: a `TranscriptionService`, a class of one or a dotted path. "
        "With one, clients show a microphone.",
        None,
        _object,
        importable=True,
    )
    max_audio_bytes: int = option(
        "The largest recording handed to the transcription service.",
        25 * 1024 * 1024,
        _number(above=0),
    )
    forward_headers: Any = option(
        "Which request headers reach the agent: a mapping with any of `use_default_denylist`, "
        "`deny`, `deny_prefixes`, `allow`. By default `Authorization` and `X-` headers, less a "
        "built-in list of what proxies and platforms set.",
        None,
        _headers,
    )
    allowed_origins: Any = option(
        "Origins of other sites whose pages may call the endpoint with this site's cookies.",
        [],
        _origins,
    )
    rate_limits: Any = option(
        "How often a caller may ask: a mapping of `run`, `suggest`, `connect`, `stop`, "
        "`transcribe`, `threads` or `info` to rates such as `30/m`. Instead of a rate: a callable "
        "taking a group and the request and returning one (`None`: no limit), a dotted path of "
        "one, `{'rate': ..., 'key': ...}`, or a list of these, all of which count. `key` says who "
        "is counted: `owner` (the default: the user, else the visitor, else the address), `ip`, "
        "`header:x-…`, `get:…`, or a callable like the other. Whoever asks more often gets 429.",
        {},
        _rates,
    )
    concurrent_runs: str = option(
        "What happens to a run on a thread that is busy: `refuse` it, or let it `supersede` the "
        "run before it.",
        "refuse",
        _choice("refuse", "supersede"),
    )
    concurrent_runs_per_owner: int | None = option(
        "On how many threads an owner (the signed-in user, else the visitor or scope) may have "
        "live runs at a time; `None`: any number. Whoever starts more gets 429. Counted by each "
        "process for itself, suggestions not at all.",
        20,
        _optional(_count),
    )
    max_run_seconds: float | None = option(
        "How long a run may take; `None`: for ever. Then it is ended with a `RUN_ERROR` whose "
        "code is `RUN_TIMEOUT`. A run that waits for a person has ended already.",
        900,
        _optional(_number(above=0)),
    )
    max_events_per_run: int | None = option(
        "How many events a run may send; `None`: any number. Then it is ended with a `RUN_ERROR` "
        "whose code is `RUN_TOO_LARGE`.",
        200_000,
        _optional(_count),
    )
    max_bytes_per_run: int | None = option(
        "How many bytes of events a run may send; `None`: any number. Then it is ended like that, "
        "too. A process holds what its live runs have sent in memory, and daphne once more for "
        "each reader that does not read.",
        64 * 1024 * 1024,
        _optional(_bytes),
    )
    max_messages: int | None = option(
        "How many messages the input of a run may hold; `None`: any number. More is answered with "
        "400. Clients send the whole conversation with each run.",
        2000,
        _optional(_count),
    )
    lease_seconds: float = option(
        "How long a process may hold a thread without renewing it (it does so every third of the "
        "time): after a crash its threads are free again so much later.",
        15,
        _number(above=0),
    )
    resume_seconds: float = option(
        "How long the raw events of an ended run are kept, for readers that were cut off.",
        600,
        _number(at_least=0),
    )
    retention_days: int | None = option(
        "What `manage.py copilotkit_prune` keeps; `None`: everything, unless it is told.",
        None,
        _optional(_number(at_least=0)),
    )
    store_outage_seconds: float = option(
        "A run whose events cannot be stored for so long is ended.",
        10,
        _number(above=0),
    )
    keepalive_seconds: float = option(
        "A comment is sent on a stream that was silent for so long; 0: never.",
        15,
        _number(at_least=0),
    )
    stop_grace_seconds: float = option(
        "How long a stopped agent may go on before its run is ended without it.",
        5,
        _number(at_least=0),
    )
    max_body_bytes: int = option(
        "The largest request body. Attachments travel inside it, a third larger than they are.",
        64 * 1024 * 1024,
        _bytes,
    )
    body_timeout_seconds: float = option(
        "How long a request body may take to arrive, plus a second for each 64 KiB of it. Applies "
        "under `copilotkit_django.asgi`.",
        30,
        _number(above=0),
    )
    debug_events: bool = option(
        "Serve `cpk-debug-events`, a feed of every event of every run and connect. Staff only, "
        "unless all visitors share one scope anyway.",
        False,
        _choice(True, False),
    )
    a2ui: Any = option(
        "Whether clients mount the renderer of A2UI surfaces: `True`, or a list of the ids of the "
        "agents that draw them.",
        False,
        _agent_ids,
    )
    open_generative_ui: bool = option(
        "Whether clients offer agents the tool that draws sandboxed pages.",
        False,
        _choice(True, False),
    )
    expose_memory_routes: bool = option(
        "Whether the routes of the memory feature exist. It has no backend here: they answer 422.",
        False,
        _choice(True, False),
    )
    expose_error_text: bool | None = option(
        "Whether clients see the text of exceptions. `None`: what `DEBUG` says.",
        None,
        _choice(True, False, None),
    )

    @classmethod
    def load(cls, values: Mapping[str, Any] | None = None) -> Self:
        """From the project's settings, with ``values`` (lower-case names) in their place.

        Raises `ImproperlyConfigured` with everything that is wrong.
        """
        merged = {str(name).lower(): value for name, value in project_settings().items()}
        unknown = (values or {}).keys() - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise TypeError(f"Runtime has no option {', '.join(sorted(map(repr, unknown)))}.")
        merged.update(values or {})
        found = list(problems(merged))
        if found:
            raise ImproperlyConfigured("\n".join(str(problem) for problem in found))
        for known in dataclasses.fields(cls):
            if known.metadata["importable"]:
                value = merged.get(known.name, known.default)
                if isinstance(value, str) and "." in value:
                    merged[known.name] = import_string(value)
        return cls(**merged)

    @property
    def exposes_errors(self) -> bool:
        """Whether texts of foreign exceptions may reach the client."""
        if self.expose_error_text is None:
            return bool(django_settings.DEBUG)
        return self.expose_error_text


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the settings."""

    option: str
    text: str
    hint: str | None = None
    #: The name itself is unknown, as opposed to its value being wrong.
    unknown: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, [self.text, self.hint]))


def project_settings() -> Mapping[str, Any]:
    """The project's ``COPILOTKIT`` dict, as it stands."""
    value = getattr(django_settings, NAME, None)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured(f"{NAME} is {value!r}, not a dict.")
    return value


def problems(values: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with option values given by lower-case name."""
    fields = {field.name: field for field in dataclasses.fields(Options)}
    for name, value in values.items():
        shown = f"{NAME}[{name.upper()!r}]"
        known = fields.get(name)
        if known is None:
            close = difflib.get_close_matches(name, fields, n=1)
            hint = f"Did you mean {close[0].upper()!r}?" if close else None
            yield Problem(name, f"{shown} is not a setting.", hint, unknown=True)
            continue
        try:
            wrong = known.metadata["check"](value)
        except Exception as error:  # a value odd enough to break its own check is a wrong value
            wrong = f"{value!r} cannot be used: {error}."
        if wrong:
            yield Problem(name, f"{shown}: {wrong}")
