"""Requests that nobody sends on purpose, most of them a mutation of a valid one.

Request `number` of a `seed` is always the same, whatever came before it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from copilotkit_django.routes import ENVELOPE_METHODS, PATTERNS

BASE = "/api/copilotkit"
VISITORS = "/api/visitors"
MEMBERS = "/api/members"
#: Where the routes of memories are exposed.
GENEROUS = "/api/generous"
AGENTS = ("default", "silent")
#: Few, so that requests meet on them.
THREADS = tuple(f"t{number}" for number in range(8))

JUNK_TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "\ud83d",
    "\ude00\ud83d",
    "\U0001f600",
    "\u2028\u2029",
    "\r\n\r\n",
    "data: {}\n\n",
    "__proto__",
    "constructor",
    "../../etc/passwd",
    "%00",
    "a" * 300,
    "ä" * 70_000,
    "{{7*7}}",
    "' OR 1=1 --",
    "<script>",
    "NaN",
)
JUNK_NUMBERS = (0, -0.0, -1, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 1e308, -1e308, 5e-324)
#: Values of JSON as text, among them what only looks like JSON.
JUNK_LITERALS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-0",
    "01",
    "0x10",
    "1" * 5000,
    "undefined",
    "'single'",
    '"\\ud83d"',
    '"\\ud83d\\u0041"',
    '"\\u0000"',
    '"\\x41"',
    "tru",
    "[1,]",
    '{"a":1,}',
    '{"a":1,"a":2}',
    "/* */ 1",
)
#: Ids that fit into a path and are odd all the same.
SHORT_IDS = tuple(
    text for text in JUNK_TEXTS if 0 < len(text) < 300 and text.strip() and text.isprintable()
)
#: Methods that HTTP knows, or could.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
MARK = "\ue000mark\ue000"


@dataclass
class Request:
    """One request, and what the oracle has to know of it."""

    number: int
    method: str
    path: str
    body: bytes
    #: What it resembles; the key of the table of expected answers.
    kind: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunked: bool = False
    #: Send only so many bytes, then leave.
    leave_after: int | None = None

    def encode(self) -> bytes:
        lines = [("Host", "127.0.0.1"), *self.headers]
        if self.chunked:
            lines.append(("Transfer-Encoding", "chunked"))
            size = len(self.body)
            body = (b"%x\r\n%s\r\n" % (size, self.body) if size else b"") + b"0\r\n\r\n"
        else:
            lines.append(("Content-Length", str(len(self.body))))
            body = self.body
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        target = self.path.encode("latin-1", "replace")
        start = self.method.encode() + b" " + target + b" HTTP/1.1\r\n"
        return (start + head.encode("latin-1", "replace") + b"\r\n" + body)[: self.leave_after]


def generate(seed: int, number: int) -> Request:
    """Request `number` of a seed."""
    return _Generator(random.Random(f"{seed}:{number}"), number).request()


class _Generator:
    def __init__(self, rng: random.Random, number: int) -> None:
        self.rng = rng
        self.number = number

    def request(self) -> Request:
        makers: list[tuple[int, Callable[[], Request]]] = [
            (30, self._operation),
            (15, self._envelope),
            (12, self._stop),
            (12, self._thread),
            (6, self._other_route),
            (25, self._any_route),
            (8, self._odd_path),
            (5, self._cookies),
        ]
        weights = [weight for weight, _ in makers]
        [(_, make)] = self.rng.choices(makers, weights)
        request = make()
        if self._one_in(10):
            self._disturb_headers(request)
        if self._one_in(20):
            request.chunked = True
        if self._one_in(40):
            request.leave_after = self.rng.randrange(1, len(request.encode()) + 1)
            request.kind = "left"
        return request

    # Kinds of requests

    def _operation(self) -> Request:
        kind = self.rng.choice(["run", "run", "connect", "suggest"])
        path = f"{BASE}/agent/{self._agent()}/{kind}"
        return self._post(path, self._body(self._run_input()), kind)

    def _envelope(self) -> Request:
        method = self.rng.choice(sorted(ENVELOPE_METHODS))
        value: dict[str, Any] = {"method": method}
        if method.startswith("agent/"):
            value["params"] = {"agentId": "default", "threadId": self._thread_id()}
            value["body"] = {"runId": "r"} if method == "agent/stop" else self._run_input()
        elif method == "transcribe":
            value["body"] = {"audio": "AAAA", "mimeType": "audio/webm"}
        elif method == "resource/request":
            path, http_method, body = self._thread_call()
            if self._one_in(3):
                pattern, http_method = self._pattern_and_method()
                path, body = self._path_of(pattern), {"agentId": "default"}
            value["params"] = {"path": path, "httpMethod": http_method}
            if http_method != "GET":
                value["body"] = body
        return self._post(BASE, self._body(value), "envelope")

    def _stop(self) -> Request:
        thread_id = quote(self._thread_id(), safe="", errors="surrogatepass")
        path = f"{BASE}/agent/{self._agent()}/stop/{thread_id}"
        body = b"" if self._one_in(3) else self._body({"runId": self._text("r")})
        return self._post(path, body, "stop")

    def _thread(self) -> Request:
        path, method, body = self._thread_call()
        return Request(
            self.number, method, BASE + path, self._body(body), "thread", self._json_type()
        )

    def _thread_call(self) -> tuple[str, str, Any]:
        thread_id = quote(self._thread_id(), safe="", errors="surrogatepass")
        change = {"agentId": "default", "name": self._text("n"), "archived": self._one_in(2)}
        return self.rng.choice(
            [
                ("/threads" + self._query(), "GET", None),
                (f"/threads/{thread_id}/messages", "GET", None),
                (f"/threads/{thread_id}/events", "GET", None),
                (f"/threads/{thread_id}/state", "GET", None),
                (f"/threads/{thread_id}", "PATCH", change),
                (f"/threads/{thread_id}", "DELETE", change),
                (f"/threads/{thread_id}/archive", "POST", change),
                ("/threads/subscribe", "POST", {}),
            ]
        )

    def _query(self) -> str:
        names = ["agentId", "limit", "cursor", "includeArchived", "x"]
        values = ["default", "1", "0", "-1", "9" * 5000, "true", "W10", "WzEsMl0=", "%ff", "%", "é"]
        pairs = [
            f"{self.rng.choice(names)}={self.rng.choice(values)}"
            for _ in range(self.rng.randrange(4))
        ]
        return "?" + "&".join(pairs) if pairs else ""

    def _other_route(self) -> Request:
        method, path, kind = self.rng.choice(
            [
                ("GET", "/info", "info"),
                ("POST", "/transcribe", "transcribe"),
                ("POST", "/annotate", "annotate"),
                ("GET", "/memories", "missing"),
                ("GET", "/inspector-metadata", "inspector"),
                ("GET", "/inspector-learning", "inspector"),
            ]
        )
        body = self._body({"audio": "AAAA", "mimeType": "audio/webm", "threadId": "t", "type": "x"})
        return Request(self.number, method, BASE + path, body, kind, self._json_type())

    def _any_route(self) -> Request:
        """Whatever there is in the table of routes, with a method it takes or with another."""
        pattern, method = self._pattern_and_method()
        base = self.rng.choice([BASE, GENEROUS])
        body = self._run_input() if self._one_in(2) else {"agentId": "default", "name": "n"}
        kind = f"route {'/'.join(pattern.segments)} {method} {base}"
        path = base + self._path_of(pattern)
        return Request(self.number, method, path, self._body(body), kind, self._json_type())

    def _pattern_and_method(self) -> tuple[Any, str]:
        pattern = self.rng.choice(PATTERNS)
        methods = METHODS if self._one_in(3) else pattern.methods
        return pattern, self.rng.choice(methods)

    def _path_of(self, pattern: Any) -> str:
        ids = {
            ":agent_id": lambda: "default",
            ":thread_id": lambda: self.rng.choice([*THREADS, *SHORT_IDS]),
            ":memory_id": lambda: self.rng.choice([*THREADS, *SHORT_IDS]),
        }
        segments = [ids[part]() if part in ids else part for part in pattern.segments]
        quoted = [quote(part, safe="", errors="surrogatepass") for part in segments]
        return "/" + "/".join(quoted)

    def _odd_path(self) -> Request:
        method = self.rng.choice(
            ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY", "get"]
        )
        parts = ["agent", "default", "run", "threads", "info", "stop", "t1", "connect", "memories"]
        odd = ["", ".", "..", "%2F", "%2e%2e", "%zz", "%", "%00", "%ff", "%C3%A4", "a b"[:1], "*"]
        odd += ["\xe4", "a" * 3000, "%F0%9F%98%80", ";x=1", "%0d%0aX:1", "__proto__", "\\", "~"]
        segments = [
            self.rng.choice(odd if self._one_in(3) else parts)
            for _ in range(self.rng.randrange(1, 9))
        ]
        base = self.rng.choice([BASE, BASE, BASE, "/api/copilotkitchen", "/api//copilotkit", ""])
        tail = self.rng.choice(["", "", "/", "//", "?", "?a=%zz&a", "?%ff=\xff", "#x"])
        path = f"{base}/{'/'.join(segments)}{tail}"
        return Request(
            self.number, method, path, self._body(self._run_input()), "odd", self._json_type()
        )

    def _cookies(self) -> Request:
        base = self.rng.choice([VISITORS, MEMBERS])
        request = self._post(f"{base}/agent/default/run", self._body(self._run_input()), "guarded")
        cookie = self.rng.choice(["sessionid", "copilotkit_anonymous", "csrftoken"])
        value = self.rng.choice(["", "x", "a:b:c", "\xff\xfe", '"\\054"', "=" * 50, "b" * 5000])
        request.headers.append(("Cookie", f"{cookie}={value}; {cookie}"))
        if self._one_in(2):
            origins = ["null", "http://127.0.0.1", "http://[", "\xff", "https://evil.example", "*"]
            name = self.rng.choice(["Origin", "Referer", "X-CSRFToken"])
            request.headers.append((name, self.rng.choice(origins)))
        return request

    def _disturb_headers(self, request: Request) -> None:
        name, value = self.rng.choice(
            [
                ("Content-Type", ""),
                ("Content-Type", "text/plain"),
                ("Content-Type", "multipart/form-data; boundary=x"),
                ("Content-Type", "multipart/form-data"),
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("Content-Type", "application/json; charset=utf-16"),
                ("Content-Type", "\xff"),
                ("Content-Encoding", "gzip"),
                ("Accept-Encoding", "gzip"),
                ("Accept", "text/html"),
                ("Authorization", "Bearer \xe9"),
                ("X-Long", "x" * 8000),
                ("X-Http-Method-Override", "GET"),
                ("Last-Event-ID", "1.2"),
                ("Forwarded", "for=_x"),
                ("X_Underscore", "1"),
            ]
        )
        request.headers = [pair for pair in request.headers if pair[0] != name]
        request.headers.append((name, value))

    # Parts of them

    def _run_input(self) -> dict[str, Any]:
        thread_id = self._thread_id()
        picture = {"type": "image", "source": {"type": "url", "value": "https://example.org/a"}}
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages = [
            {"id": f"u{self.number}", "role": "user", "content": self._text("hello")},
            {"id": "v", "role": "user", "content": [{"type": "text", "text": "x"}, picture]},
            {"id": "a", "role": "assistant", "content": "x", "toolCalls": [call]},
            {"id": "o", "role": "tool", "toolCallId": "c", "content": "x"},
            {"id": "s", "role": "system", "content": "x", "name": "n"},
            {"id": "r", "role": "reasoning", "content": "x"},
            {"id": "w", "role": "activity", "activityType": "x", "content": {"a": 1}},
        ]
        value = {
            "threadId": thread_id,
            "runId": f"run-{self.number}",
            "state": self.rng.choice([{}, {"a": [1, {"b": None}]}, None, 1, []]),
            "messages": self.rng.sample(messages, self.rng.randrange(4)),
            "tools": [{"name": "f", "description": "d", "parameters": {"type": "object"}}],
            "context": [{"description": "d", "value": "v"}],
            "forwardedProps": self.rng.choice([{}, {"a": self._text("b")}, None]),
        }
        if self._one_in(4):
            value["protocolVersion"] = "1.0"
        if self._one_in(4):
            value["resume"] = [{"interruptId": "i", "status": "resolved", "payload": None}]
        if self._one_in(4):
            value["lastSeenEventId"] = None
        return value

    def _body(self, value: Any) -> bytes:
        """The value as JSON, mutated as a value, as text, as bytes or not at all."""
        how = self.rng.randrange(10)
        if how < 5:
            for _ in range(self.rng.randrange(1, 4)):
                value = self._mutated(value)
            return _json(value)
        if how < 6:
            return self._broken(_json(value))
        if how < 7:
            literal = self.rng.choice(JUNK_LITERALS)
            return _json(self._replaced(value, MARK)).replace(
                _json(MARK), literal.encode("ascii"), 1
            )
        if how < 8:
            return self._deep(value)
        return _json(value)

    def _deep(self, value: Any) -> bytes:
        depth = self.rng.choice([10, 150, 198, 201, 300, 1024, 10_000])
        opened, closed = self.rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
        middle = self.rng.choice([b"1", b'"\\ud83d"', b""])
        nested = opened * depth + middle + closed * (depth if self.rng.randrange(5) else 0)
        if self._one_in(3):
            return nested
        key = self.rng.choice(["state", "forwardedProps", "body", "messages", "x"])
        marked = {**value, key: MARK} if isinstance(value, dict) else [MARK]
        return _json(marked).replace(_json(MARK), nested, 1)

    def _broken(self, data: bytes) -> bytes:
        at = self.rng.randrange(len(data) + 1)
        return self.rng.choice(
            [
                data[:at],
                data[:at] + self.rng.randbytes(self.rng.randrange(1, 20)) + data[at:],
                b"\xef\xbb\xbf" + data,
                data.decode().encode("utf-16"),
                data + data,
                data + b"\0",
                data.replace(b'"', b"'"),
                data.replace(b"hello", b"\xff\xfe\xc0\x80"),
                data.replace(b"hello", b"\xed\xa0\xbd"),
                b" " * 100_000 + data,
                self.rng.randbytes(200),
                b"",
            ]
        )

    def _mutated(self, value: Any) -> Any:
        """A copy of the value with one thing in it changed."""
        if isinstance(value, dict) and value and not self._one_in(6):
            key = self.rng.choice(list(value))
            how = self.rng.randrange(8)
            if how == 0:
                return {name: item for name, item in value.items() if name != key}
            if how == 1:
                return {**value, self._text("extra"): self._junk()}
            if how == 2:
                return {**value, key: None}
            return {**value, key: self._mutated(value[key])}
        if isinstance(value, list) and value and not self._one_in(6):
            at = self.rng.randrange(len(value))
            if self._one_in(6):
                return value * 3
            return [*value[:at], self._mutated(value[at]), *value[at + 1 :]]
        return self._junk()

    def _replaced(self, value: Any, by: Any) -> Any:
        """A copy of the value with one leaf of it replaced."""
        if isinstance(value, dict) and value:
            key = self.rng.choice(list(value))
            return {**value, key: self._replaced(value[key], by)}
        if isinstance(value, list) and value:
            at = self.rng.randrange(len(value))
            return [*value[:at], self._replaced(value[at], by), *value[at + 1 :]]
        return by

    def _junk(self) -> Any:
        return self.rng.choice(
            [
                lambda: None,
                lambda: self._one_in(2),
                lambda: self.rng.choice(JUNK_NUMBERS),
                lambda: self.rng.choice(JUNK_TEXTS),
                lambda: [],
                lambda: {},
                lambda: [None] * 5,
                lambda: {"__proto__": {"x": 1}, "constructor": {"prototype": {}}},
                lambda: {self.rng.choice(JUNK_TEXTS): self.rng.choice(JUNK_TEXTS)},
            ]
        )()

    def _agent(self) -> str:
        if self._one_in(12):
            odd = ["nobody", "%64efault", "a%2Fb", "%ff", "%zz", "%00", "%20", "__proto__", "ä"]
            return self.rng.choice(odd).encode().decode("latin-1")
        return self.rng.choice(AGENTS)

    def _thread_id(self) -> str:
        return self._text(self.rng.choice(THREADS), one_in=15)

    def _text(self, usual: str, one_in: int = 8) -> str:
        return self.rng.choice(JUNK_TEXTS[:-6]) if self._one_in(one_in) else usual

    def _post(self, path: str, body: bytes, kind: str) -> Request:
        return Request(self.number, "POST", path, body, kind, self._json_type())

    def _json_type(self) -> list[tuple[str, str]]:
        return [("Content-Type", "application/json")]

    def _one_in(self, count: int) -> bool:
        return self.rng.randrange(count) == 0


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
