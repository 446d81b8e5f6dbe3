"""The settings: one ``COPILOTKIT`` dict, typed, with defaults, checked in one place.

Every option is also a keyword argument of `Runtime`, in lower case.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from copilotkit_django.conf_values import (
    Check,
    check_agent_ids,
    check_agents,
    check_authentication,
    check_bytes,
    check_callable,
    check_count,
    check_header_policy,
    check_hooks,
    check_none_or,
    check_number,
    check_object,
    check_one_of,
    check_origins,
    check_rates,
    check_runner,
)

#: The name of the dict in the project's settings.
NAME = "COPILOTKIT"


def option(doc: str, default: Any, check: Check, *, importable: bool = False) -> Any:
    """A field of `Options`: what it does, its default, and how its values are checked.

    ``importable``: a text with a dot in it is the dotted path of the value.
    """
    metadata = {"doc": doc, "check": check, "importable": importable}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: default.copy(), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one endpoint, with the defaults filled in."""

    agents: Any = option(
        "The agents: a mapping of id to agent, a list of named agents, or a factory that is called "
        "with each request and returns either. Agents are `Agent` objects, async generator "
        "functions taking the run context, or dotted paths; so may the whole value be.",
        {},
        check_agents,
    )
    runner: Any = option(
        "Who owns what happens to a thread: an `AgentRunner`, a class of one or a dotted path.",
        "copilotkit_django.runners.database.DatabaseRunner",
        check_runner,
        importable=True,
    )
    authentication: Any = option(
        "Who may call. `session`: signed-in Django users, everybody else gets 401. `anonymous`: "
        "anybody, each browser in a scope of its own (a signed cookie); signed-in users in theirs. "
        "`anonymous-shared`: anybody, all in one scope; for tests. Or a callable (sync or async) "
        "or its dotted path: it takes the request and returns a user, a `(user, scope)` pair, "
        "`None` for nobody (401), or a response, which it may also raise with `ShortCircuit`.",
        "session",
        check_authentication,
        importable=True,
    )
    thread_scope: Any = option(
        "Whose threads a signed-in user works on: a callable taking the request and the user and "
        "returning a text such as `team:7`. By default each user has a scope of their own.",
        None,
        check_callable,
        importable=True,
    )
    hooks: Any = option(
        "An object or mapping with any of `on_request`, `on_before_handler`, `on_response`, "
        "`on_error`, or the dotted path of one (a class is instantiated).",
        None,
        check_hooks,
        importable=True,
    )
    before_request_middleware: Any = option(
        "Called with every request before it is routed; may answer it or replace it.",
        None,
        check_callable,
        importable=True,
    )
    after_request_middleware: Any = option(
        "Called with what was answered, after the answer (a stream: its end) was sent.",
        None,
        check_callable,
        importable=True,
    )
    transcription_service: Any = option(
        "Turns recordings into text: a `TranscriptionService`, a class of one or a dotted path. "
        "With one, clients show a microphone.",
        None,
        check_object,
        importable=True,
    )
    max_audio_bytes: int = option(
        "The largest recording handed to the transcription service.",
        25 * 1024 * 1024,
        check_number(above=0),
    )
    forward_headers: Any = option(
        "Which request headers reach the agent: a mapping with any of `use_default_denylist`, "
        "`deny`, `deny_prefixes`, `allow`. By default `Authorization` and `X-` headers, less a "
        "built-in list of what proxies and platforms set.",
        None,
        check_header_policy,
    )
    allowed_origins: Any = option(
        "Origins of other sites whose pages may call the endpoint with this site's cookies.",
        [],
        check_origins,
    )
    rate_limits: Any = option(
        "How often a caller may ask: a mapping of `run`, `suggest`, `connect`, `stop`, "
        "`transcribe`, `threads` or `info` to rates such as `30/m`. Instead of a rate: a callable "
        "taking a group and the request and returning one (`None`: no limit), a dotted path of "
        "one, `{'rate': ..., 'key': ...}`, or a list of these, all of which count. `key` says who "
        "is counted: `owner` (the default: the user, else the visitor, else the address), `ip`, "
        "`header:x-…`, `get:…`, or a callable like the other. Whoever asks more often gets 429.",
        {},
        check_rates,
    )
    concurrent_runs: str = option(
        "What happens to a run on a thread that is busy: `refuse` it, or let it `supersede` the "
        "run before it.",
        "refuse",
        check_one_of("refuse", "supersede"),
    )
    concurrent_runs_per_owner: int | None = option(
        "On how many threads an owner (the signed-in user, else the visitor or scope) may have "
        "live runs at a time; `None`: any number. Whoever starts more gets 429. Counted by each "
        "process for itself, suggestions not at all.",
        20,
        check_none_or(check_count),
    )
    max_run_seconds: float | None = option(
        "How long a run may take; `None`: for ever. Then it is ended with a `RUN_ERROR` whose "
        "code is `RUN_TIMEOUT`. A run that waits for a person has ended already.",
        900,
        check_none_or(check_number(above=0)),
    )
    max_events_per_run: int | None = option(
        "How many events a run may send; `None`: any number. Then it is ended with a `RUN_ERROR` "
        "whose code is `RUN_TOO_LARGE`.",
        200_000,
        check_none_or(check_count),
    )
    max_bytes_per_run: int | None = option(
        "How many bytes of events a run may send; `None`: any number. Then it is ended like that, "
        "too. A process holds what its live runs have sent in memory, and daphne once more for "
        "each reader that does not read.",
        64 * 1024 * 1024,
        check_none_or(check_bytes),
    )
    max_messages: int | None = option(
        "How many messages the input of a run may hold; `None`: any number. More is answered with "
        "400. Clients send the whole conversation with each run.",
        2000,
        check_none_or(check_count),
    )
    lease_seconds: float = option(
        "How long a process may hold a thread without renewing it (it does so every third of the "
        "time): after a crash its threads are free again so much later.",
        15,
        check_number(above=0),
    )
    resume_seconds: float = option(
        "How long the raw events of an ended run are kept, for readers that were cut off.",
        600,
        check_number(at_least=0),
    )
    retention_days: int | None = option(
        "What `manage.py copilotkit_prune` keeps; `None`: everything, unless it is told.",
        None,
        check_none_or(check_number(at_least=0)),
    )
    store_outage_seconds: float = option(
        "A run whose events cannot be stored for so long is ended.",
        10,
        check_number(above=0),
    )
    keepalive_seconds: float = option(
        "A comment is sent on a stream that was silent for so long; 0: never.",
        15,
        check_number(at_least=0),
    )
    stop_grace_seconds: float = option(
        "How long a stopped agent may go on before its run is ended without it.",
        5,
        check_number(at_least=0),
    )
    max_body_bytes: int = option(
        "The largest request body. Attachments travel inside it, a third larger than they are.",
        64 * 1024 * 1024,
        check_bytes,
    )
    body_timeout_seconds: float = option(
        "How long a request body may take to arrive, plus a second for each 64 KiB of it. Applies "
        "under `copilotkit_django.asgi`.",
        30,
        check_number(above=0),
    )
    debug_events: bool = option(
        "Serve `cpk-debug-events`, a feed of every event of every run and connect. Staff only, "
        "unless all visitors share one scope anyway.",
        False,
        check_one_of(True, False),
    )
    a2ui: Any = option(
        "Whether clients mount the renderer of A2UI surfaces: `True`, or a list of the ids of the "
        "agents that draw them.",
        False,
        check_agent_ids,
    )
    open_generative_ui: bool = option(
        "Whether clients offer agents the tool that draws sandboxed pages.",
        False,
        check_one_of(True, False),
    )
    expose_memory_routes: bool = option(
        "Whether the routes of the memory feature exist. It has no backend here: they answer 422.",
        False,
        check_one_of(True, False),
    )
    expose_error_text: bool | None = option(
        "Whether clients see the text of exceptions. `None`: what `DEBUG` says.",
        None,
        check_one_of(True, False, None),
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
