"""System checks. Ids are permanent: ``copilotkit.E…`` stops the site, ``copilotkit.W…`` warns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

from copilotkit_django.conf import NAME, Options, problems, project_settings
from copilotkit_django.runners import InMemoryRunner

CORS_MIDDLEWARE = (
    "copilotkit_django.origins.CorsMiddleware",
    "corsheaders.middleware.CorsMiddleware",
)


@register("copilotkit")
def check_settings(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """The ``COPILOTKIT`` dict: names that exist, values that can be used."""
    try:
        values = {str(name).lower(): value for name, value in project_settings().items()}
    except ImproperlyConfigured as error:
        return [Error(str(error), id="copilotkit.E001")]
    messages: list[CheckMessage] = [
        Error(
            problem.text,
            hint=problem.hint,
            id="copilotkit.E002" if problem.unknown else "copilotkit.E003",
        )
        for problem in problems(values)
    ]
    if not values.get("agents"):
        messages.append(
            Warning(
                "No agents are configured.",
                hint=f"Set {NAME}['AGENTS']: the chat of the official client needs one named "
                "'default'.",
                id="copilotkit.W001",
            )
        )
    return messages


@register("copilotkit", Tags.compatibility)
def check_surroundings(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """What the rest of the project's settings does to streams and runs."""
    messages: list[CheckMessage] = []
    if not getattr(django_settings, "ASGI_APPLICATION", None) and getattr(
        django_settings, "WSGI_APPLICATION", None
    ):
        messages.append(
            Warning(
                "The project names a WSGI application and no ASGI application.",
                hint="Runs need an ASGI server. Set ASGI_APPLICATION to the application that "
                "copilotkit_django.asgi.get_asgi_application() returns.",
                id="copilotkit.W002",
            )
        )
    for alias, database in django_settings.DATABASES.items():
        if database.get("ATOMIC_REQUESTS"):
            messages.append(
                Warning(
                    f"DATABASES[{alias!r}] has ATOMIC_REQUESTS; the endpoint is exempt from it.",
                    hint="Async views cannot run in a transaction. Use transaction.atomic() in "
                    "what your agents call.",
                    id="copilotkit.W003",
                )
            )
    return messages


@register("copilotkit", Tags.security)
def check_origins(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """ALLOWED_ORIGINS needs somebody who answers preflights."""
    try:
        options = Options.load()
    except ImproperlyConfigured:
        return []
    answered = any(path in CORS_MIDDLEWARE for path in django_settings.MIDDLEWARE)
    messages: list[CheckMessage] = []
    if options.allowed_origins and not answered:
        messages.append(
            Error(
                f"{NAME}['ALLOWED_ORIGINS'] is set, but nothing answers preflight requests.",
                hint="Add 'corsheaders' to INSTALLED_APPS and "
                "'copilotkit_django.origins.CorsMiddleware' near the top of MIDDLEWARE.",
                id="copilotkit.E004",
            )
        )
    if "*" in options.allowed_origins and not django_settings.DEBUG:
        messages.append(
            Warning(
                f"{NAME}['ALLOWED_ORIGINS'] lets pages of every origin call with cookies.",
                hint="Name the origins.",
                id="copilotkit.W004",
            )
        )
    return messages


@register("copilotkit", Tags.security, deploy=True)
def check_deployment(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """What is fine on a developer's machine only."""
    try:
        options = Options.load()
    except ImproperlyConfigured:
        return []
    messages: list[CheckMessage] = []
    if isinstance(options.runner, InMemoryRunner) or options.runner is InMemoryRunner:
        messages.append(
            Warning(
                "Conversations are kept in the memory of one process.",
                hint=f"Leave {NAME}['RUNNER'] out to keep them in the database.",
                id="copilotkit.W011",
            )
        )
    if "*" in options.allowed_origins:
        messages.append(
            Error(
                "Pages of every origin may call the endpoint with this site's cookies.",
                hint=f"Name the origins in {NAME}['ALLOWED_ORIGINS'].",
                id="copilotkit.E011",
            )
        )
    if options.rate_limits and _counts_alone():
        messages.append(
            Warning(
                "Each process counts for itself: callers may ask as often as RATE_LIMITS says of "
                "each of them.",
                hint="Name a cache that the processes share (Redis, Memcached) in CACHES, or the "
                "alias of one in RATELIMIT_USE_CACHE.",
                id="copilotkit.W012",
            )
        )
    if options.authentication == "anonymous-shared":
        messages.append(
            Error(
                "All visitors share one scope: each reads and clears the threads of all others.",
                hint=f"Set {NAME}['AUTHENTICATION'] to 'session', 'anonymous' or a callable.",
                id="copilotkit.E010",
            )
        )
    if options.expose_error_text:
        messages.append(
            Warning(
                "Clients are shown the text of exceptions.",
                hint=f"Leave {NAME}['EXPOSE_ERROR_TEXT'] out; the log has the text.",
                id="copilotkit.W010",
            )
        )
    return messages


def _counts_alone() -> bool:
    """Whether the cache that requests are counted in belongs to one process, or to none."""
    alias = getattr(django_settings, "RATELIMIT_USE_CACHE", "default")
    backend = django_settings.CACHES.get(alias, {}).get("BACKEND", "")
    return backend in (
        "django.core.cache.backends.locmem.LocMemCache",
        "django.core.cache.backends.dummy.DummyCache",
    )
