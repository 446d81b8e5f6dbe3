"""Which request headers reach the agent the caller chose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

#: Never forwarded by default: set by proxies and platforms, not by the caller, or meant for us.
DENIED = frozenset(
    {
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-server",
        "x-real-ip",
        "x-amzn-trace-id",
        "x-amz-cf-id",
        "x-cloud-trace-context",
        "x-cache",
        "x-served-by",
        "x-request-id",
        "x-copilotcloud-public-api-key",
        "x-csrftoken",
    }
)
DENIED_PREFIXES = (
    "x-accel-",
    "x-amz-",
    "x-azure-",
    "x-fastly-",
    "x-vercel-",
    "x-middleware-",
    "x-copilotcloud-",
)

#: Never forwarded, whatever is allowed: they say how one connection is held, where a message on it
#: ends and whom it is for, and would make another request of ours.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

OPTIONS = frozenset({"use_default_denylist", "deny", "deny_prefixes", "allow"})


@dataclass(frozen=True, slots=True)
class HeaderPolicy:
    """The FORWARD_HEADERS setting.

    By default ``Authorization`` and all ``X-`` headers are forwarded, less a built-in list and less
    what ``deny`` and ``deny_prefixes`` name. With ``allow`` only the headers it names are, the
    built-in list does not apply, and ``deny`` and ``deny_prefixes`` still subtract. Names are
    compared without case. Cookies are never forwarded unless ``allow`` names them, and what is
    about the connection (``Host``, ``Content-Length`` …) not even then.
    """

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = DENIED
    deny_prefixes: tuple[str, ...] = DENIED_PREFIXES

    @classmethod
    def from_options(cls, options: Mapping[str, Any] | None) -> Self:
        """From the value of the setting: a mapping with any of ``use_default_denylist`` (true),
        ``deny``, ``deny_prefixes``, ``allow``. Raises `ValueError` for other keys."""
        options = options or {}
        unknown = options.keys() - OPTIONS
        if unknown:
            raise ValueError(
                f"FORWARD_HEADERS has no option {', '.join(sorted(map(repr, unknown)))}; "
                f"it takes {', '.join(sorted(OPTIONS))}."
            )
        allow = _names(options.get("allow"))
        builtin = options.get("use_default_denylist", True) and not allow
        prefixes = tuple(sorted(_names(options.get("deny_prefixes"))))
        return cls(
            allow=allow,
            deny=_names(options.get("deny")) | (DENIED if builtin else frozenset()),
            deny_prefixes=prefixes + (DENIED_PREFIXES if builtin else ()),
        )

    def select(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers to forward, with lower-cased names."""
        chosen = {}
        for name, value in headers.items():
            name = name.lower()
            if self.allow:
                candidate = name in self.allow
            else:
                candidate = name == "authorization" or name.startswith("x-")
            denied = name in HOP_BY_HOP or name in self.deny
            if candidate and not denied and not name.startswith(self.deny_prefixes):
                chosen[name] = value
        return chosen


def _names(values: Iterable[str] | None) -> frozenset[str]:
    return frozenset(name for value in values or () if (name := value.strip().lower()))
