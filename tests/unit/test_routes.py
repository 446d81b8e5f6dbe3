"""What a request asks for, told by its path or by its envelope."""

from __future__ import annotations

import json

import pytest

from copilotkit_django.exceptions import (
    CopilotKitError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
)
from copilotkit_django.routes import admit, from_envelope, from_path

ROUTES = [
    ("GET", "info", {"method": "info"}),
    ("GET", "inspector-metadata", {"method": "inspector/metadata"}),
    ("GET", "inspector-learning", {"method": "inspector/learning"}),
    ("POST", "transcribe", {"method": "transcribe"}),
    ("GET", "cpk-debug-events", {"method": "cpk-debug-events"}),
    ("POST", "agent/a/run", {"method": "agent/run", "agentId": "a"}),
    ("POST", "agent/a/suggest", {"method": "agent/suggest", "agentId": "a"}),
    ("POST", "agent/a/connect", {"method": "agent/connect", "agentId": "a"}),
    ("POST", "agent/a/stop/t", {"method": "agent/stop", "agentId": "a", "threadId": "t"}),
    ("POST", "threads/subscribe", {"method": "threads/subscribe"}),
    ("GET", "threads/t/messages", {"method": "threads/messages", "threadId": "t"}),
    ("GET", "threads/t/events", {"method": "threads/events", "threadId": "t"}),
    ("GET", "threads/t/state", {"method": "threads/state", "threadId": "t"}),
    ("POST", "threads/t/archive", {"method": "threads/archive", "threadId": "t"}),
    ("POST", "threads/clear", {"method": "threads/clear"}),
    ("PATCH", "threads/t", {"method": "threads/update", "threadId": "t"}),
    ("DELETE", "threads/t", {"method": "threads/update", "threadId": "t"}),
    ("GET", "threads", {"method": "threads/list"}),
    ("POST", "memories/recall", {"method": "memories/recall"}),
    ("POST", "memories/subscribe", {"method": "memories/subscribe"}),
    ("PATCH", "memories/m", {"method": "memories/mutate", "memoryId": "m"}),
    ("DELETE", "memories/m", {"method": "memories/mutate", "memoryId": "m"}),
    ("GET", "memories", {"method": "memories/list"}),
    ("POST", "memories", {"method": "memories/list"}),
    ("POST", "annotate", {"method": "annotate"}),
]


def route(path, method="POST", query="", **options):
    found = from_path(path, method, query)
    admit(found, **options)
    return found


def envelope(value, content_type="application/json", **options):
    return from_envelope(content_type, json.dumps(value).encode(), **options)


def resource(path, http_method="GET", **options):
    found = envelope(
        {"method": "resource/request", "params": {"path": path, "httpMethod": http_method}},
        **options,
    )
    admit(found.route, **options)
    return found


class TestPath:
    @pytest.mark.parametrize(("method", "path", "expected"), ROUTES)
    def test_from_path__each_route(self, method, path, expected):
        """Every route of the protocol is found by its path, with its ids."""
        assert route(path, method, memories=True).as_dict() == expected

    @pytest.mark.parametrize(("method", "path", "expected"), ROUTES)
    @pytest.mark.parametrize("form", ["/{}", "{}/", "//{}//", "some/prefix/{}"])
    def test_from_path__odd_slashes_and_prefixes(self, form, method, path, expected):
        """Empty segments are harmless, and only the trailing segments count."""
        assert route(form.format(path), method, memories=True).as_dict() == expected

    @pytest.mark.parametrize(("method", "path", "expected"), ROUTES)
    def test_from_path__doubled_slashes_inside(self, method, path, expected):
        """Empty segments are harmless in the middle as well."""
        doubled = path.replace("/", "//")

        assert route(doubled, method, memories=True).as_dict() == expected

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/",
            "nowhere",
            "INFO",
            "Info",
            "agent",
            "agent/run",
            "agent/a",
            "agent/a/stop",
            "agent/a/walk",
            "agent/a/Run",
            "info2",
            "threads/t/nothing",
            "annotates",
        ],
    )
    def test_from_path__no_route(self, path):
        """Names are compared with case, and in full."""
        with pytest.raises(NotFound):
            route(path)

    @pytest.mark.parametrize(
        ("raw", "agent_id"),
        [
            ("a%2Fb", "a/b"),
            ("my%20agent", "my agent"),
            ("my agent", "my agent"),
            ("100%25", "100%"),
            ("%C3%A9milie", "émilie"),
            ("émilie", "émilie"),
            ("a+b", "a+b"),
            ("run", "run"),
            ("agent", "agent"),
            ("%00", "\0"),
        ],
    )
    def test_from_path__encoded_id(self, raw, agent_id):
        """Ids may hold any character, percent-encoded or not."""
        assert route(f"agent/{raw}/run").agent_id == agent_id

    @pytest.mark.parametrize("raw", ["100%", "%zz", "%2", "%ff", "%C3"])
    def test_from_path__undecodable_id(self, raw):
        """An id that cannot be decoded matches nothing."""
        with pytest.raises(NotFound):
            route(f"agent/{raw}/run")

    @pytest.mark.parametrize("path", ["%69nfo", "th%72eads", "agent/a/%72un"])
    def test_from_path__encoded_name(self, path):
        """Only ids may be percent-encoded."""
        with pytest.raises(NotFound):
            route(path)

    @pytest.mark.parametrize(
        ("path", "method", "allowed"),
        [
            ("info", "POST", "GET"),
            ("info", "HEAD", "GET"),
            ("info", "OPTIONS", "GET"),
            ("info", "PROPFIND", "GET"),
            ("agent/a/run", "GET", "POST"),
            ("threads/t", "GET", "PATCH, DELETE"),
            ("threads//messages", "GET", "PATCH, DELETE"),
            ("threads/clear", "GET", "POST"),
            ("memories", "DELETE", "GET, POST"),
            ("memories/m", "POST", "PATCH, DELETE"),
        ],
    )
    def test_from_path__wrong_method(self, path, method, allowed):
        """A route that exists for other methods names them, and is known all the same."""
        with pytest.raises(MethodNotAllowed) as caught:
            route(path, method, memories=True)

        assert caught.value.headers["Allow"] == allowed
        assert from_path(path, method, "").http_method == method

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
    def test_from_path__memories_not_exposed(self, method):
        """Routes of the memory feature do not exist unless asked for, whatever the method."""
        with pytest.raises(NotFound):
            route("memories", method)

        assert from_path("memories", method, "").method == "memories/list"

    def test_from_path__query(self):
        """Query parameters are decoded; of a repeated one the first value counts."""
        found = route("threads", "GET", "agentId=a%20b&x=&limit=1&limit=2")

        assert found.query == {"agentId": "a b", "x": "", "limit": "1"}


class TestEnvelope:
    @pytest.mark.parametrize("method", ["agent/run", "agent/suggest", "agent/connect"])
    def test_from_envelope__agent_operation(self, method):
        """The operations of agents name theirs and carry their body."""
        found = envelope({"method": method, "params": {"agentId": "a/b"}, "body": {"x": None}})

        assert found.route.as_dict() == {"method": method, "agentId": "a/b"}
        assert found.route.single
        assert not found.lacks_body
        assert found.body == {"x": None}

    def test_from_envelope__stop(self):
        """Stop names agent and thread; its body may be left out."""
        found = envelope({"method": "agent/stop", "params": {"agentId": "a", "threadId": "t"}})

        assert found.route.as_dict() == {"method": "agent/stop", "agentId": "a", "threadId": "t"}
        assert found.body is None
        assert not found.lacks_body

    @pytest.mark.parametrize("extra", [{}, {"body": None}])
    @pytest.mark.parametrize("method", ["info", "inspector/metadata", "inspector/learning"])
    def test_from_envelope__without_parameters(self, method, extra):
        """Some operations need nothing but their name."""
        found = envelope({"method": method, **extra})

        assert found.route.as_dict() == {"method": method}
        assert not found.lacks_body

    @pytest.mark.parametrize(
        "value",
        [
            {"method": "agent/run", "params": {"agentId": "a"}},
            {"method": "agent/run", "params": {"agentId": "a"}, "body": None},
            {"method": "agent/stop", "params": {"agentId": "a", "threadId": "t"}, "body": None},
            {"method": "transcribe"},
        ],
    )
    def test_from_envelope__no_body(self, value):
        """A body that is missing, or null, is noticed where one is needed."""
        assert envelope(value).lacks_body

    def test_from_envelope__byte_order_mark(self):
        """Some programs put a byte order mark in front of what they send."""
        found = from_envelope("application/json", b'\xef\xbb\xbf{"method": "info"}')

        assert found.route.method == "info"

    def test_from_envelope__charset(self):
        """Parameters of the content type do not matter."""
        found = envelope({"method": "info"}, "application/json; charset=utf-8")

        assert found.route.method == "info"

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "multipart/form-data", "Application/JSON"]
    )
    def test_from_envelope__other_content_type(self, content_type):
        """An envelope is JSON and says so."""
        with pytest.raises(UnsupportedMediaType):
            envelope({"method": "info"}, content_type)

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"method": NaN}', b"[" * 2000])
    def test_from_envelope__not_json(self, body):
        """What is no JSON is a bad request."""
        with pytest.raises(InvalidRequest):
            from_envelope("application/json", body)

    @pytest.mark.parametrize(
        ("value", "named"),
        [
            (None, "method"),
            ([], "method"),
            ("info", "method"),
            ({}, "method"),
            ({"method": None}, "method"),
            ({"method": 0}, "Missing method field"),
            ({"method": False}, "Missing method field"),
            ({"method": ""}, "Missing method field"),
            ({"method": 7}, "Unsupported method '7'"),
            ({"method": 1.5}, "Unsupported method '1.5'"),
            ({"method": True}, "Unsupported method 'true'"),
            ({"method": []}, "Unsupported method ''"),
            ({"method": ["info"]}, "Unsupported method 'info'"),
            ({"method": [[], "a", None]}, "Unsupported method ',a,'"),
            ({"method": {}}, r"Unsupported method '\[object Object\]'"),
            ({"method": "agent/walk"}, "agent/walk"),
            ({"method": "Info"}, "Info"),
            ({"method": "threads/list"}, "threads/list"),
            ({"method": "agent/run", "body": {}}, "agentId"),
            ({"method": "agent/run", "params": None, "body": {}}, "agentId"),
            ({"method": "agent/run", "params": [], "body": {}}, "agentId"),
            ({"method": "agent/run", "params": {"agentId": "  "}, "body": {}}, "agentId"),
            ({"method": "agent/run", "params": {"agentId": 7}, "body": {}}, "agentId"),
            ({"method": "agent/stop", "params": {"agentId": "a"}}, "threadId"),
            ({"method": "resource/request", "params": {"httpMethod": "GET"}}, "path"),
            ({"method": "resource/request", "params": {"path": "/threads"}}, "httpMethod"),
        ],
    )
    def test_from_envelope__malformed(self, value, named):
        """A malformed envelope is refused with a sentence that names what is wrong."""
        with pytest.raises(InvalidRequest, match=named) as caught:
            envelope(value)

        assert caught.value.body()["error"] == "invalid_request"


class TestResource:
    @pytest.mark.parametrize(
        ("http_method", "path", "expected"),
        [case for case in ROUTES if case[1].startswith(("threads", "memories", "annotate"))],
    )
    def test_resource__each_route(self, http_method, path, expected):
        """Thread, memory and annotation routes can be asked for in an envelope."""
        found = resource(f"/{path}", http_method.lower(), memories=True).route

        assert found.as_dict() == expected
        assert found.http_method == http_method
        assert found.single

    def test_resource__query_and_encoded_id(self):
        """A resource path may be encoded and carry a query."""
        found = resource("/threads/a%2Fb/messages?x=1").route

        assert found.thread_id == "a/b"
        assert found.query == {"x": "1"}

    @pytest.mark.parametrize(
        "path",
        [
            "threads",
            " /threads",
            "//threads",
            "///threads",
            "/\t/other.example/threads",
            "http://other.example/threads",
            "\\threads",
            "/\\other.example/threads",
            "//[",
            "//[::1/threads",
            "/\t/[",
        ],
    )
    def test_resource__elsewhere(self, path):
        """A resource path starts at this endpoint."""
        with pytest.raises(InvalidRequest, match="Resource path must be Runtime-relative"):
            resource(path)

    @pytest.mark.parametrize(
        "path",
        [
            "/info",
            "/nowhere",
            "/agent/a/run",
            "/transcribe",
            "/",
            "/memories",
            "/threads/%zz/messages",
            "/x\\threads",
            "/x\\y/threads",
            "/threads/a\\b/messages",
        ],
    )
    def test_resource__not_allowed(self, path):
        """Only resources of this endpoint can be asked for, and backslashes lead to none."""
        with pytest.raises(NotFound):
            resource(path)

    @pytest.mark.parametrize("path", ["/a" * 10_000 + "/threads", "/threads?" + "a&" * 10_000])
    def test_resource__too_long(self, path):
        """A path of any length may come in an envelope: taking a long one apart takes seconds."""
        with pytest.raises(InvalidRequest, match="too long"):
            resource(path)

    def test_resource__wrong_method(self):
        """The HTTP method an envelope names counts like that of a request."""
        with pytest.raises(MethodNotAllowed):
            resource("/threads", "POST")


@pytest.mark.parametrize("path", ["/threads/\ud83d/messages", "/\ud83d"])
def test_resource__half_an_emoji(path):
    """Text that UTF-8 cannot hold is no reason to fail otherwise than with an answer."""
    try:
        found = resource(path).route
    except CopilotKitError:
        return
    assert found.thread_id == "\ud83d"
