"""What the server may answer, and what no answer may hold."""

from __future__ import annotations

import json
import re
from typing import Any

from copilotkit_django.routes import PATTERNS
from tests.fuzz.generate import GENEROUS, Request
from tests.servers.http import Answer, event_of
from tests.servers.process import ROOT
from tests.servers.streams import BadStream, assert_complete

STREAM = "text/event-stream"
JSON = "application/json"

#: By what a request resembles: the statuses the protocol documents. Nothing is ever a 500.
STATUSES = {
    "run": {200, 400, 404},
    "connect": {200, 400, 404},
    "suggest": {200, 400, 404},
    "stop": {200, 400, 404},
    "envelope": {200, 204, 400, 404, 405, 415, 422, 503},
    # An empty id leaves another route, with other methods.
    "thread": {200, 400, 404, 405, 422},
    "info": {200},
    "transcribe": {503},
    "annotate": {422},
    "missing": {404},
    "inspector": {204, 404},
    "guarded": {200, 400, 401, 403, 404},
    "odd": {200, 204, 400, 404, 405, 422, 503},
}
#: By operation: what the routes of the table answer to a method they take.
ROUTES = {
    "info": {200},
    "inspector/metadata": {204},
    "inspector/learning": {404},
    "transcribe": {503},
    # Nobody listens in here.
    "cpk-debug-events": {404},
    "agent/run": {200, 400, 404},
    "agent/suggest": {200, 400, 404},
    "agent/connect": {200, 400, 404},
    "agent/stop": {200, 400, 404},
    "threads/subscribe": {422},
    "threads/messages": {200},
    "threads/events": {200},
    "threads/state": {200},
    "threads/archive": {200, 400, 404},
    "threads/clear": {204},
    "threads/update": {200, 400, 404},
    "threads/list": {200},
    "memories/recall": {422},
    "memories/subscribe": {422},
    "memories/mutate": {422},
    "memories/list": {422},
    "annotate": {422},
    "websocket/ticket": {200},
}
#: By status: the keys a JSON body may have.
KEYS = {
    400: ({"error"}, {"error", "details"}, {"error", "message"}, {"error", "message", "retryable"}),
    401: ({"error", "message"},),
    403: ({"error", "message"},),
    404: ({"error"}, {"error", "message"}),
    405: ({"error"},),
    415: ({"error", "message"},),
    422: ({"error"},),
    503: ({"error", "message", "retryable"},),
}
#: Kinds whose answers of status 200 are streams; of the others some are.
STREAMED = {"run", "connect", "suggest", "guarded"}
#: Statuses with which a server or Django itself refuses what is hardly HTTP, as text.
NOT_HTTP = {400, 404, 405, 431, 501}

ID_LINE = re.compile(rb"\Aid: [\w.-]+\n")

LEAKS = (b"Traceback", b"site-packages", b'File "', str(ROOT).encode())


class Unexpected(AssertionError):
    """An answer that is documented nowhere."""


def check(request: Request, answer: Answer, body: bytes) -> None:
    """Raise `Unexpected` if the answer to the request is not one of those there may be."""
    for leak in LEAKS:
        if leak in body:
            raise Unexpected(f"the body shows {leak!r}")
    is_text = answer.content_type in ("", "text/plain", "text/html")
    if (
        is_text
        and answer.status in NOT_HTTP
        and (request.kind == "odd" or _is_hardly_http(request))
    ):
        return
    expected = _statuses(request)
    if answer.status not in expected:
        raise Unexpected(f"status {answer.status} is not among {expected}")
    if answer.status == 405 and "allow" not in answer.headers:
        raise Unexpected("405 without an Allow header")
    if answer.status == 204 or request.method == "HEAD":
        if body:
            raise Unexpected("a body where there is none")
    elif answer.content_type == STREAM:
        resumes = any(name == "Last-Event-ID" for name, _ in request.headers)
        _check_stream(answer, body, resumes=resumes)
    elif request.kind.startswith("route cpk-debug-events") and answer.status == 404:
        # The one route whose refusal is a text, in the reference too.
        if body != b"Not Found":
            raise Unexpected(f"another 404: {body[:200]!r}")
    elif answer.status == 200 and _is_streamed(request):
        raise Unexpected("200 without a stream")
    else:
        _check_json(answer, body)


def _statuses(request: Request) -> set[int]:
    """What the request may be answered with."""
    if not request.kind.startswith("route "):
        return STATUSES[request.kind]
    path, method, base = request.kind.split()[1:]
    [pattern] = [each for each in PATTERNS if "/".join(each.segments) == path]
    if pattern.name.startswith("memories/") and base != GENEROUS:
        return {404}
    return ROUTES[pattern.name] if method in pattern.methods else {405}


def _is_streamed(request: Request) -> bool:
    """Whether a 200 to the request has to be a stream."""
    return request.kind in STREAMED or (
        request.kind.startswith("route agent/") and "/stop/" not in request.kind
    )


def _is_hardly_http(request: Request) -> bool:
    """Whether the head of the request holds what the server may refuse by itself."""
    if request.kind == "odd":
        return True
    head = request.encode().partition(b"\r\n\r\n")[0]
    # Daphne takes multipart bodies apart, whoever they are for.
    return not head.isascii() or b"%" in head or b"multipart/" in head


def _check_stream(answer: Answer, body: bytes, *, resumes: bool) -> None:
    if answer.status != 200:
        raise Unexpected("a stream with a status other than 200")
    if body and not body.endswith(b"\n\n"):
        raise Unexpected("the stream ends within a frame")
    frames = body.removesuffix(b"\n\n").split(b"\n\n") if body else []
    if resumes:
        # Who names a cursor is given cursors; nobody else is.
        frames = [ID_LINE.sub(b"", frame) for frame in frames]
    try:
        events = [event_of(frame) for frame in frames if not frame.startswith(b":")]
        assert_complete(_from_the_start(events) if resumes else events)
    except (BadStream, ValueError) as error:
        raise Unexpected(f"the stream: {error}") from error


def _from_the_start(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs of which somebody who goes on from a cursor is sent the whole.

    Before them may stand the rest of one, or the word that it is not to be had.
    """
    starts = [number for number, event in enumerate(events) if event["type"] == "RUN_STARTED"]
    rest = events[: starts[0]] if starts else events
    if any(event["type"] == "RUN_FINISHED" for event in rest[:-1]):
        raise BadStream("a run ends before its end")
    whole = events[len(rest) :]
    return [event for event in whole if event.get("name") != "copilotkit.reset"]


def _check_json(answer: Answer, body: bytes) -> None:
    if answer.content_type != JSON:
        raise Unexpected(f"content type {answer.content_type!r}")
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Unexpected(f"a body that is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Unexpected("a body that is not an object")
    if answer.status != 200 and set(value) not in KEYS[answer.status]:
        raise Unexpected(f"a body of keys {sorted(value)}")
