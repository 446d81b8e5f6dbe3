"""MCP servers whose tools bring interfaces with them."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from copilotkit_django.agents.base import RunContext
from copilotkit_django.events.wire import encode
from copilotkit_django.workers import call

#: What HTTP headers for a server may be given as.
Headers = Mapping[str, str] | Callable[[RunContext], Any] | str | None


@dataclass(frozen=True, kw_only=True)
class AppServer:
    """One MCP server, and what it may do.

    ``type`` is ``http`` (streamable HTTP) or ``sse``. ``headers`` are sent with every request:
    a mapping, or a callable (sync or async, or its dotted path) that takes the run context and
    returns one, for credentials of each user. ``agents`` are the ids of the agents that get its
    tools (all if left out), ``tools`` the names of the tools it may offer (all with an interface).
    ``server_id`` names it to pages. ``timeout`` is in seconds and holds for each call,
    ``max_bytes`` for everything a call is answered with. Addresses that are not public are refused
    unless ``allow_private_addresses`` is set.

    Raises `ImproperlyConfigured` for what cannot be used.
    """

    url: str
    type: str = "http"
    headers: Headers = field(default=None, repr=False)
    server_id: str | None = None
    agents: Collection[str] | None = None
    tools: Collection[str] | None = None
    allow_private_addresses: bool = False
    timeout: float = 20.0
    max_bytes: int = 5 * 1024 * 1024

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem is not None:
            raise ImproperlyConfigured(f"MCP server {self.name!r}: {problem}")

    def _problem(self) -> str | None:
        # What settings hold need not be what the annotations say.
        headers: Any = self.headers
        try:
            parts = urlsplit(self.url) if isinstance(self.url, str) else None
        except ValueError as error:
            return f"its url cannot be read: {error}."
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            return "its url must begin with http:// or https://."
        if parts.username is not None or parts.password is not None:
            return "credentials belong into its headers, not into its url."
        if self.type not in ("http", "sse"):
            return f"its type is {self.type!r}, not 'http' or 'sse'."
        for name in ("agents", "tools"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, str)
                or not isinstance(value, Collection)
                or not all(isinstance(each, str) for each in value)
            ):
                return f"{name} must be a list of names."
        if not isinstance(self.timeout, (int, float)) or not self.timeout > 0:
            return "timeout must be a number of seconds above 0."
        if not isinstance(self.max_bytes, int) or not self.max_bytes > 0:
            return "max_bytes must be a whole number above 0."
        if isinstance(headers, str):
            try:
                import_string(headers)
            except ImportError as error:
                return f"its headers cannot be imported: {error}."
        elif not (headers is None or isinstance(headers, Mapping) or callable(headers)):
            return "its headers are neither a mapping nor a callable."
        return None

    @classmethod
    def of(cls, value: Any) -> Self:
        """``value`` as a server: one, or a mapping of its options.

        Raises `ImproperlyConfigured`.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            kind = type(value).__name__
            raise ImproperlyConfigured(f"An MCP server is a mapping with a url, not {kind}.")
        known = {each.name for each in dataclasses.fields(cls)}
        for name in value:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                guess = f" Did you mean {close[0]!r}?" if close else ""
                raise ImproperlyConfigured(f"An MCP server has no option {name!r}.{guess}")
        if "url" not in value:
            raise ImproperlyConfigured("An MCP server needs a url.")
        return cls(**value)

    @property
    def name(self) -> str:
        """What the log calls it: never with what in its address may be credentials."""
        scheme, colon, rest = str(self.url).partition("?")[0].partition("://")
        host, slash, path = rest.partition("/")
        return self.server_id or f"{scheme}{colon}{host.rpartition('@')[2]}{slash}{path}"

    @property
    def hash(self) -> str:
        """What pages call it: made of its public address, never of credentials."""
        identity = encode({"type": self.type, "url": self.url.partition("?")[0]})
        return hashlib.blake2b(identity, digest_size=16).hexdigest()

    def serves(self, agent_id: str) -> bool:
        """Whether that agent gets its tools."""
        return self.agents is None or agent_id in self.agents

    async def headers_for(self, context: RunContext) -> dict[str, str]:
        """The headers for requests on behalf of one run. What a callable raises is passed on."""
        headers = import_string(self.headers) if isinstance(self.headers, str) else self.headers
        if callable(headers):
            headers = await call(headers, context)
        return dict(headers or {})


def servers_from(values: Iterable[Any]) -> tuple[AppServer, ...]:
    """Servers as settings name them.

    Raises `ImproperlyConfigured` for what is none, and for two that pages could not tell apart.
    """
    servers = tuple(AppServer.of(value) for value in values)
    seen: dict[str, AppServer] = {}
    for server in servers:
        for key in filter(None, (server.server_id, server.server_id or server.hash)):
            other = seen.setdefault(key, server)
            if other is not server:
                raise ImproperlyConfigured(
                    f"Two MCP servers are {server.name!r}: give each a server_id of its own."
                )
    return servers
