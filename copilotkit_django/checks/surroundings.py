"""What the rest of the project's settings does to streams and runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Info, Tags, Warning, register
from django.db import router

from copilotkit_django.models import Run
from copilotkit_django.runners.reader_threads import READERS
from copilotkit_django.workers import WORKERS

GZIP = "django.middleware.gzip.GZipMiddleware"

REDIS_LAYER = "channels_redis.core.RedisChannelLayer"

#: From this version on redis-py gives up on a connection that is silent for `REDIS_TIMEOUT`
#: seconds, unless told otherwise.
REDIS_VERSION = 8
#: And for so long the layer waits for a message.
REDIS_TIMEOUT = 5

#: Connections of a process that are not there for requests: those of the runner, which writes with
#: one, and those of synchronous code that agents call.
RESERVED_CONNECTIONS = 1 + READERS + WORKERS

#: What psycopg's pool has, unless told otherwise.
POOL_SIZE = 4


@register("copilotkit", Tags.compatibility)
def check_surroundings(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """Servers, transactions, compression."""
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
    if GZIP in django_settings.MIDDLEWARE:
        messages.append(
            Info(
                "GZipMiddleware compresses the endpoint's JSON answers, not its streams.",
                hint="Streams name an encoding (identity), so that it leaves them alone: of what "
                "is compressed piece by piece some clients read only the first one. Do not remove "
                "that header, and do not have a proxy compress text/event-stream.",
                id="copilotkit.I001",
            )
        )
    return messages


@register("copilotkit", Tags.database)
def check_databases(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """Whether the pool of the runner's database has room for it."""
    alias = router.db_for_write(Run)
    database = django_settings.DATABASES.get(alias, {})
    size = _pool_size(database)
    if size is None or size > RESERVED_CONNECTIONS:
        return []
    return [
        Warning(
            f"The pool of DATABASES[{alias!r}] has {size} connections; runs may hold "
            f"{RESERVED_CONNECTIONS}, and none is left for requests.",
            hint=f"Let it grow: 'pool': {{'min_size': 4, 'max_size': {2 * RESERVED_CONNECTIONS}}}. "
            f"The runner holds {1 + READERS} in each process, synchronous code of agents up to "
            f"{WORKERS}.",
            id="copilotkit.W007",
        )
    ]


def _pool_size(database: Mapping[str, Any]) -> int | None:
    """How far the pool of a database grows; ``None`` if it has none."""
    pool = (database.get("OPTIONS") or {}).get("pool")
    if not pool or "postgresql" not in database.get("ENGINE", ""):
        return None
    if not isinstance(pool, Mapping):
        return POOL_SIZE
    smallest = pool.get("min_size", POOL_SIZE)
    return int(pool.get("max_size") or smallest)


@register("copilotkit", Tags.compatibility)
def check_layers(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """Channel layers whose idle consumers are disconnected."""
    if _major_version("redis") < REDIS_VERSION:
        return []
    return [
        Warning(
            f"CHANNEL_LAYERS[{alias!r}]: redis-py {REDIS_VERSION} ends consumers that hear nothing "
            f"for {REDIS_TIMEOUT} seconds.",
            hint='Give each host a timeout of its own, "hosts": [{"address": …, "socket_timeout": '
            "None}], or use channels_redis.pubsub.RedisPubSubChannelLayer.",
            id="copilotkit.W006",
        )
        for alias, layer in _layers()
        if layer.get("BACKEND") == REDIS_LAYER
        and not all(map(_is_patient, _hosts(layer.get("CONFIG") or {})))
    ]


def _layers() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for alias, layer in (getattr(django_settings, "CHANNEL_LAYERS", None) or {}).items():
        if isinstance(layer, Mapping):
            yield alias, layer


def _hosts(config: Mapping[str, Any]) -> Iterable[Any]:
    hosts = config.get("hosts")
    # Without any the layer takes the one on this machine, as redis-py sees fit.
    return hosts if isinstance(hosts, (list, tuple)) and hosts else [{}]


def _is_patient(host: Any) -> bool:
    """Whether a connection to a host may be silent for longer than the layer waits."""
    options = host if isinstance(host, Mapping) else {"address": host}
    timeout: Any = options.get("socket_timeout", REDIS_TIMEOUT)
    if "socket_timeout" not in options and isinstance(options.get("address"), str):
        timeout = parse_qs(urlsplit(options["address"]).query).get("socket_timeout", [timeout])[0]
    try:
        return timeout is None or float(timeout) > REDIS_TIMEOUT
    except (TypeError, ValueError):
        # redis-py will say so.
        return True


def _major_version(package: str) -> int:
    """The installed one; 0 if there is none."""
    try:
        return int(metadata.version(package).partition(".")[0])
    except (metadata.PackageNotFoundError, ValueError):
        return 0
