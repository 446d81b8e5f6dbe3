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
    check_a2ui,
    check_agent_ids,
    check_agent_middleware,
    check_agents,
    check_authentication,
    check_budgets,
    check_bytes,
    check_callable,
    check_count,
    check_header_policy,
    check_hooks,
    check_mcp_apps,
    check_none_or,
    check_number,
    check_object,
    check_one_of,
    check_origins,
    check_rates,
    check_runner,
    check_socket_url,
)

#: The name of the dict in the project's settings.
NAME = "COPILOTKIT"

#: Options of the Node runtime that people bring along, and what there is in their place.
FOREIGN = {
    "intelligence": "There is no hosted service: 'RUNNER' keeps threads and runs, by default in "
    "the project's database. Leave it out.",
    "license_token": "Nothing here needs a licence. Leave it out.",
    "public_api_key": "Nothing here needs a licence. Leave it out.",
    "identify_user": "'AUTHENTICATION' says who calls.",
    "cors": "'ALLOWED_ORIGINS' names other sites whose pages may call.",
    "base_path": "The endpoint is where urls.py mounts it.",
    "middleware": "Use 'BEFORE_REQUEST_MIDDLEWARE' and 'AFTER_REQUEST_MIDDLEWARE' for requests, "
    "'AGENT_MIDDLEWARE' for the events of agents.",
}


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
    agent_middleware: Any = option(
        "What wraps the runs of agents: a list for all of them, or a mapping of agent ids to "
        "lists, where `*` stands for all. Middleware is an `AgentMiddleware`, a class of one, an "
        "async generator function taking the run context and the next, or the dotted path of one "
        "of these. The first is outermost.",
        [],
        check_agent_middleware,
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
    merge_on_login: bool = option(
        "Whether the threads of an anonymous browser go to the user who signs in on it. Without "
        "that they stay behind, and nobody finds them again.",
        True,
        check_one_of(True, False),
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
        "`transcribe`, `threads`, `info` or `websocket` (opening one, and tickets) to rates such "
        "as `30/m`. Instead of a rate: a callable taking a group and the request and returning one "
        "(`None`: no limit), a dotted path of one, `{'rate': ..., 'key': ...}`, or a list of "
        "these, all of which count. `key` says who is counted: `owner` (the default: the user, "
        "else the visitor, else the address), `ip`, `header:x-…`, `get:…`, or a callable like the "
        "other. Whoever asks more often gets 429.",
        {},
        check_rates,
    )
    token_budgets: Any = option(
        "How many tokens an owner (the signed-in user, else the visitor or scope) may use: "
        "`200_000/d`, a list of such texts, all of which count, or a callable (or its dotted path) "
        "taking the request and the user and returning either; `None`: any number. Counted is what "
        "agents report. Whoever has none left gets 429 for runs and suggestions.",
        None,
        check_budgets,
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
        "too. A process holds what its live runs have sent in memory.",
        64 * 1024 * 1024,
        check_none_or(check_bytes),
    )
    max_messages: int | None = option(
        "How many messages the input of a run may hold; `None`: any number. More is answered with "
        "400. Clients send the whole conversation with each run.",
        2000,
        check_none_or(check_count),
    )
    max_attachments_per_message: int | None = option(
        "How many files a message of the user may have attached; `None`: any number. More is "
        "answered with 400.",
        20,
        check_none_or(check_count),
    )
    max_attachments_per_run: int | None = option(
        "How many the messages of a run's input may have together; `None`: any number. Clients "
        "send those of the whole conversation again with each run.",
        200,
        check_none_or(check_count),
    )
    max_attachment_bytes: int | None = option(
        "How large each of them may be, as a file; `None`: as the body allows. More is answered "
        "with 413. What is only linked to is not looked at.",
        25 * 1024 * 1024,
        check_none_or(check_bytes),
    )
    thread_names: str | None = option(
        "How a new thread gets a name, unless the user gives it one: `first-words` takes those of "
        "the user, `agent` asks the agent of its first run for a title (with one more call of its "
        "model), `None` leaves it without.",
        None,
        check_one_of(None, "first-words", "agent"),
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
    realtime_url: str | None = option(
        "Where clients open the websocket of live thread lists, without the `/websocket` they add: "
        "a path or a `wss://` URL. `None`: where `copilotkit_django.asgi` serves it; an empty "
        "text: nowhere, lists change when they are fetched again.",
        None,
        check_socket_url,
    )
    realtime_token_seconds: float = option(
        "How long a token for live thread lists is good where no cookie says the same. It is dead "
        "before that with the session or the password it was given for.",
        12 * 60 * 60,
        check_number(above=0),
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
        "Whether agents draw A2UI surfaces and clients mount their renderer: `True`, or a list of "
        "the ids of the agents that draw them, or a mapping with any of `enabled`, `agents`, "
        "`inject_tool` (whether agents are offered the tool that draws, or its name), `schema` "
        "(the catalogue), `default_catalog_id`, `tool_names`, `progress_tokens`, `max_attempts`, "
        "`debug_exposure`. `None`: where a page has a catalogue of its own; `False`: not even "
        "there.",
        None,
        check_a2ui,
    )
    mcp_apps: Any = option(
        "MCP servers whose tools bring interfaces with them: a list of mappings with `url` and any "
        "of `type` (`http` or `sse`), `headers` (a mapping, or a callable taking the run context), "
        "`server_id`, `agents` (ids; all if left out), `tools` (names; all with an interface), "
        "`allow_private_addresses`, `timeout` (20 seconds) and `max_bytes` (5 MiB).",
        [],
        check_mcp_apps,
    )
    open_generative_ui: Any = option(
        "Whether clients offer agents the tool that draws sandboxed pages, and these are shown "
        "while they are written: `True`, or a list of the ids of the agents that draw them.",
        False,
        check_agent_ids,
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
    #: Of the system check: ``E002`` for a name that is unknown, ``E005`` for one of the Node
    #: runtime, ``E003`` for a value that cannot be used.
    check_id: str = "E003"

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
            foreign = FOREIGN.get(name)
            close = difflib.get_close_matches(name, fields, n=1)
            hint = foreign or (f"Did you mean {close[0].upper()!r}?" if close else None)
            check_id = "E005" if foreign else "E002"
            yield Problem(name, f"{shown} is not a setting.", hint, check_id)
            continue
        try:
            wrong = known.metadata["check"](value)
        except Exception as error:  # a value odd enough to break its own check is a wrong value
            wrong = f"{value!r} cannot be used: {error}."
        if wrong:
            yield Problem(name, f"{shown}: {wrong}")
