"""What is fine on a developer's machine only: ``manage.py check --deploy``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import router

from copilotkit_django.conf import NAME, Options
from copilotkit_django.models import Run
from copilotkit_django.runners import InMemoryRunner

CACHES = "django.core.cache.backends."

MEMORY_LAYER = "channels.layers.InMemoryChannelLayer"


@register("copilotkit", Tags.security, deploy=True)
def check_deployment(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """Settings that give too much away, or keep things where other processes do not see them."""
    try:
        options = Options.load()
    except ImproperlyConfigured:
        return []
    return [
        *_who_may_call(options),
        *_what_is_shown(options),
        *_where_things_are_kept(options),
        *_how_requests_are_counted(options),
    ]


def _who_may_call(options: Options) -> Iterator[CheckMessage]:
    if options.authentication == "anonymous-shared":
        yield Error(
            "All visitors share one scope: each reads and clears the threads of all others.",
            hint=f"Set {NAME}['AUTHENTICATION'] to 'session', 'anonymous' or a callable.",
            id="copilotkit.E010",
        )
    if "*" in options.allowed_origins:
        yield Error(
            "Pages of every origin may call the endpoint with this site's cookies.",
            hint=f"Name the origins in {NAME}['ALLOWED_ORIGINS'].",
            id="copilotkit.E011",
        )
    if getattr(django_settings, "CORS_ALLOW_ALL_ORIGINS", False) and getattr(
        django_settings, "CORS_ALLOW_CREDENTIALS", False
    ):
        yield Error(
            "Pages of every origin may read, with this site's cookies, what its users said.",
            hint="Name the origins in CORS_ALLOWED_ORIGINS in place of CORS_ALLOW_ALL_ORIGINS, or "
            "leave CORS_ALLOW_CREDENTIALS out.",
            id="copilotkit.E012",
        )
    if options.authentication == "anonymous" and not (
        "run" in options.rate_limits or options.token_budgets is not None
    ):
        yield Warning(
            "Anybody may start runs, as many as they like.",
            hint=f"Set {NAME}['RATE_LIMITS'] for 'run', by address too: "
            "['10/m', {'rate': '60/m', 'key': 'ip'}].",
            id="copilotkit.W013",
        )


def _what_is_shown(options: Options) -> Iterator[CheckMessage]:
    if options.expose_error_text:
        yield Warning(
            "Clients are shown the text of exceptions.",
            hint=f"Leave {NAME}['EXPOSE_ERROR_TEXT'] out; the log has the text.",
            id="copilotkit.W010",
        )
    if options.debug_events:
        yield Warning(
            "Every member of staff is shown what everybody says, as they say it.",
            hint=f"Leave {NAME}['DEBUG_EVENTS'] out. The admin shows conversations to those with "
            "the permission to see them.",
            id="copilotkit.W014",
        )


def _where_things_are_kept(options: Options) -> Iterator[CheckMessage]:
    runner = options.runner
    kind = runner if inspect.isclass(runner) else type(runner)
    if issubclass(kind, InMemoryRunner):
        yield Warning(
            "Conversations are kept in the memory of one process.",
            hint=f"Leave {NAME}['RUNNER'] out to keep them in the database.",
            id="copilotkit.W011",
        )
    layers: Any = getattr(django_settings, "CHANNEL_LAYERS", None) or {}
    if (layers.get("default") or {}).get("BACKEND") == MEMORY_LAYER:
        yield Warning(
            "CHANNEL_LAYERS['default'] reaches this process only, and loses messages.",
            hint="Use channels_redis.pubsub.RedisPubSubChannelLayer, or leave CHANNEL_LAYERS out: "
            "processes then look into the database.",
            id="copilotkit.W015",
        )
    alias = router.db_for_write(Run)
    database: Any = django_settings.DATABASES.get(alias, {})
    transactions = (database.get("OPTIONS") or {}).get("transaction_mode", "")
    if "sqlite3" in database.get("ENGINE", "") and not transactions:
        yield Warning(
            f"DATABASES[{alias!r}]: transactions that read before they write fail with 'database "
            "is locked' while runs are written.",
            hint="Set 'OPTIONS': {'transaction_mode': 'IMMEDIATE', 'timeout': 20, 'init_command': "
            "'PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;'}.",
            id="copilotkit.W016",
        )


def _how_requests_are_counted(options: Options) -> Iterator[CheckMessage]:
    if not options.rate_limits:
        return
    alias = getattr(django_settings, "RATELIMIT_USE_CACHE", "default")
    backend = django_settings.CACHES.get(alias, {}).get("BACKEND", "")
    shared = (
        "Name a cache that the processes share (Redis, Memcached) in CACHES, or the alias of one "
        "in RATELIMIT_USE_CACHE."
    )
    if backend == f"{CACHES}locmem.LocMemCache":
        yield Warning(
            "Each process counts for itself: callers may ask as often as RATE_LIMITS says of each "
            "of them.",
            hint=shared,
            id="copilotkit.W012",
        )
    elif backend == f"{CACHES}dummy.DummyCache":
        yield Warning(
            f"CACHES[{alias!r}] keeps nothing: RATE_LIMITS limits nobody.",
            hint=shared,
            id="copilotkit.W017",
        )
    elif backend in (f"{CACHES}filebased.FileBasedCache", f"{CACHES}db.DatabaseCache"):
        yield Warning(
            f"CACHES[{alias!r}] loses counts of requests that come at once.",
            hint=shared,
            id="copilotkit.W018",
        )
