"""What a request asks for: a route out of a path, or out of a single-route envelope."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from copilotkit_django.events.inputs import InvalidInput, as_text, parse_json
from copilotkit_django.events.wire import encode
from copilotkit_django.exceptions import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
)


@dataclass(frozen=True, slots=True)
class Route:
    """One protocol operation and the ids it is about.

    ``method`` is the protocol's name of the operation (``agent/run``, ``threads/list`` …), the same
    whether it came as a path or in an envelope. ``path`` is what stands behind the mount point,
    ``http_method`` the HTTP method the operation was asked for with, ``query`` its query
    parameters.
    """

    method: str
    agent_id: str | None = None
    thread_id: str | None = None
    memory_id: str | None = None
    path: str = ""
    http_method: str = "GET"
    query: Mapping[str, str] | None = None
    #: The request came as a single-route envelope.
    single: bool = False

    def as_dict(self) -> dict[str, str]:
        """Name and ids in wire form."""
        ids = {
            "method": self.method,
            "agentId": self.agent_id,
            "threadId": self.thread_id,
            "memoryId": self.memory_id,
        }
        return {key: value for key, value in ids.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Pattern:
    segments: tuple[str, ...]
    name: str
    #: The HTTP methods it takes.
    methods: tuple[str, ...]


def _pattern(path: str, name: str, *methods: str) -> _Pattern:
    return _Pattern(tuple(path.split("/")), name, methods)


#: Path patterns in the order they are tried; ``:x`` stands for an id. A path matches by its
#: trailing segments.
PATTERNS = (
    _pattern("info", "info", "GET"),
    _pattern("inspector-metadata", "inspector/metadata", "GET"),
    _pattern("inspector-learning", "inspector/learning", "GET"),
    _pattern("transcribe", "transcribe", "POST"),
    _pattern("cpk-debug-events", "cpk-debug-events", "GET"),
    _pattern("agent/:agent_id/run", "agent/run", "POST"),
    _pattern("agent/:agent_id/suggest", "agent/suggest", "POST"),
    _pattern("agent/:agent_id/connect", "agent/connect", "POST"),
    _pattern("agent/:agent_id/stop/:thread_id", "agent/stop", "POST"),
    _pattern("threads/subscribe", "threads/subscribe", "POST"),
    _pattern("threads/:thread_id/messages", "threads/messages", "GET"),
    _pattern("threads/:thread_id/events", "threads/events", "GET"),
    _pattern("threads/:thread_id/state", "threads/state", "GET"),
    _pattern("threads/:thread_id/archive", "threads/archive", "POST"),
    _pattern("threads/clear", "threads/clear", "POST"),
    _pattern("threads/:thread_id", "threads/update", "PATCH", "DELETE"),
    _pattern("threads", "threads/list", "GET"),
    _pattern("memories/recall", "memories/recall", "POST"),
    _pattern("memories/subscribe", "memories/subscribe", "POST"),
    _pattern("memories/:memory_id", "memories/mutate", "PATCH", "DELETE"),
    _pattern("memories", "memories/list", "GET", "POST"),
    _pattern("annotate", "annotate", "POST"),
    _pattern("websocket/ticket", "websocket/ticket", "POST"),
)

#: The HTTP methods of each operation that has a path.
ALLOWED = {pattern.name: pattern.methods for pattern in PATTERNS}

#: Operations of the single-route envelope, with the parameters each needs.
ENVELOPE_METHODS: Mapping[str, tuple[str, ...]] = {
    "agent/run": ("agentId",),
    "agent/suggest": ("agentId",),
    "agent/connect": ("agentId",),
    "agent/stop": ("agentId", "threadId"),
    "info": (),
    "inspector/metadata": (),
    "inspector/learning": (),
    "transcribe": (),
    "resource/request": (),
}
#: Those among them whose body may not be left out.
BODY_REQUIRED = frozenset({"agent/run", "agent/suggest", "agent/connect", "transcribe"})
#: Those that take one: an explicit null is none.
BODY_TAKEN = BODY_REQUIRED | {"agent/stop"}

#: Operations ``resource/request`` may ask for; those of memories only where they are exposed.
RESOURCES_WITHOUT_MEMORIES = ("threads/", "annotate")
RESOURCES = (*RESOURCES_WITHOUT_MEMORIES, "memories/")

NOT_RELATIVE = "Resource path must be Runtime-relative"

#: The longest path with its query. Servers bound those of requests, but not those in envelopes.
MAX_PATH_LENGTH = 16 * 1024

_MALFORMED_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def segments_of(path: str) -> list[str]:
    """The non-empty segments of a raw (percent-encoded) path."""
    return [segment for segment in path.split("/") if segment]


def match(segments: Sequence[str]) -> tuple[_Pattern, dict[str, str]] | None:
    """The pattern the trailing raw segments match, with its decoded ids."""
    for pattern in PATTERNS:
        ids = _ids(pattern, segments)
        if ids is not None:
            return pattern, ids
    return None


def _ids(pattern: _Pattern, segments: Sequence[str]) -> dict[str, str] | None:
    if len(segments) < len(pattern.segments):
        return None
    ids = {}
    for expected, segment in zip(pattern.segments, segments[-len(pattern.segments) :], strict=True):
        if expected.startswith(":"):
            decoded = _decode(segment)
            if decoded is None:
                return None
            ids[expected[1:]] = decoded
        elif expected != segment:
            return None
    return ids


def _decode(segment: str) -> str | None:
    if _MALFORMED_ESCAPE.search(segment):
        return None
    try:
        return unquote(segment, errors="strict") or None
    except UnicodeDecodeError:
        return None


def from_path(raw_path: str, http_method: str, query: str) -> Route:
    """The route of a raw path below the mount point. Raises `NotFound` and `InvalidRequest`.

    Whether it may be asked for like that is for `admit` to say.
    """
    _refuse_long(raw_path, query)
    found = match(segments_of(raw_path))
    if found is None:
        raise NotFound
    pattern, ids = found
    return Route(
        pattern.name,
        agent_id=ids.get("agent_id"),
        thread_id=ids.get("thread_id"),
        memory_id=ids.get("memory_id"),
        path=raw_path,
        http_method=http_method,
        query={key: values[0] for key, values in parse_qs(query, True).items()},
    )


def _refuse_long(*parts: str) -> None:
    if sum(map(len, parts)) > MAX_PATH_LENGTH:
        raise InvalidRequest("The path is too long.")


def admit(route: Route, *, memories: bool = False) -> None:
    """Refuse what a path leads to and may not be asked for.

    Raises `NotFound` for memory routes unless ``memories``, and `MethodNotAllowed`.
    """
    if not route.path:
        # An envelope names its operation; only what it asks for by path has a method that may be
        # wrong.
        return
    if route.method.startswith("memories/") and not memories:
        raise NotFound
    allowed = ALLOWED[route.method]
    if route.http_method not in allowed:
        raise MethodNotAllowed(*allowed)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A single-route request: its route, and the body of the operation as raw JSON value."""

    route: Route
    body: Any = None
    has_body: bool = False

    @property
    def lacks_body(self) -> bool:
        """The operation takes a body and the envelope has none. An explicit null is none."""
        needy = BODY_TAKEN if self.has_body else BODY_REQUIRED
        return self.body is None and self.route.single and self.route.method in needy

    def content(self, request_body: bytes) -> bytes:
        """The body of the operation: that of the request, or the one in the envelope.

        Raises `InvalidRequest` where the envelope lacks it.
        """
        if not self.route.single:
            return request_body
        if self.lacks_body:
            raise InvalidRequest("Missing request body for JSON handler")
        if self.body is None:
            return b""
        if isinstance(self.body, str):
            # Text in an envelope is a body that was serialised already.
            return self.body.encode(errors="surrogatepass")
        return encode(self.body)


def from_envelope(content_type: str, body: bytes, *, memories: bool = False) -> Envelope:
    """Read a single-route envelope: ``{"method", "params"?, "body"?}``.

    Raises `UnsupportedMediaType`, `InvalidRequest` naming the field that is wrong, and `NotFound`
    for a ``resource/request`` of what is no resource.
    """
    if "application/json" not in content_type:
        raise UnsupportedMediaType("Single-route endpoint expects JSON payloads")
    try:
        value = parse_json(body)
    except InvalidInput:
        raise InvalidRequest("Invalid JSON payload") from None
    method = value.get("method") if isinstance(value, dict) else None
    if method in (None, "", 0):
        raise InvalidRequest("Missing method field")
    required = ENVELOPE_METHODS.get(method) if isinstance(method, str) else None
    if required is None:
        raise InvalidRequest(f"Unsupported method '{as_text(method)}'")
    params = value.get("params")
    params = params if isinstance(params, dict) else {}
    ids = {name: _parameter(params, name) for name in required}
    if method == "resource/request":
        route = _resource(params, memories=memories)
    else:
        route = Route(
            method,
            agent_id=ids.get("agentId"),
            thread_id=ids.get("threadId"),
            http_method="POST",
            single=True,
        )
    return Envelope(route, value.get("body"), "body" in value)


def _parameter(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"Missing or invalid parameter '{name}'")
    return value


def _resource(params: Mapping[str, Any], *, memories: bool) -> Route:
    path = _parameter(params, "path")
    http_method = _parameter(params, "httpMethod")
    # Before it is split: what Python has split before it keeps.
    _refuse_long(path)
    try:
        parts = urlsplit(path)
    except ValueError:
        raise InvalidRequest(NOT_RELATIVE) from None
    # Where a path may begin with a host, URL parsers take a backslash for a slash.
    if not path.startswith("/") or path[1:2] in ("/", "\\") or parts.scheme or parts.netloc:
        raise InvalidRequest(NOT_RELATIVE)
    if "\\" in parts.path:
        raise NotFound
    route = from_path(parts.path, http_method.upper(), parts.query)
    # Asked before the method is: what may not be asked for here does not name its methods.
    if not route.method.startswith(RESOURCES if memories else RESOURCES_WITHOUT_MEMORIES):
        raise NotFound
    return replace(route, single=True)
