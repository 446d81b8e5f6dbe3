"""Which request headers reach an agent."""

from __future__ import annotations

import pytest

from copilotkit_django.forwarding import HeaderPolicy

#: Name, and whether it is forwarded by default.
MATRIX = [
    ("Authorization", True),
    ("authorization", True),
    ("X-Tenant", True),
    ("x-b3-traceid", True),
    ("X-Forwarded-For-Real", True),
    ("Cookie", False),
    ("Set-Cookie", False),
    ("Content-Type", False),
    ("Content-Length", False),
    ("Accept", False),
    ("Host", False),
    ("Origin", False),
    ("Referer", False),
    ("User-Agent", False),
    ("Proxy-Authorization", False),
    ("Forwarded", False),
    ("Traceparent", False),
    ("Xauth", False),
    ("X-Forwarded-For", False),
    ("X-Forwarded-Proto", False),
    ("X-Forwarded-Host", False),
    ("X-Forwarded-Port", False),
    ("X-Forwarded-Server", False),
    ("X-Real-IP", False),
    ("X-Amzn-Trace-Id", False),
    ("X-Amz-Cf-Id", False),
    ("X-Amz-Anything", False),
    ("X-Cloud-Trace-Context", False),
    ("X-Cache", False),
    ("X-Served-By", False),
    ("X-Request-Id", False),
    ("X-Copilotcloud-Public-Api-Key", False),
    ("X-Copilotcloud-Anything", False),
    ("X-Azure-Ref", False),
    ("X-Fastly-Trace", False),
    ("X-Vercel-Id", False),
    ("X-Middleware-Next", False),
    ("X-CSRFToken", False),
    ("X-Accel-Expires", False),
]


def forwarded(options, *names):
    policy = HeaderPolicy.from_options(options)
    return set(policy.select({name: "v" for name in names}))


@pytest.mark.parametrize(("name", "expected"), MATRIX)
def test_select__default(name, expected):
    """Credentials and X headers are forwarded, less what proxies, platforms and we set."""
    assert forwarded(None, name) == ({name.lower()} if expected else set())


def test_select__names_and_values():
    """Names are lower-cased, values are untouched."""
    policy = HeaderPolicy.from_options({})

    assert policy.select({"X-Tenant": " Acme, Inc. "}) == {"x-tenant": " Acme, Inc. "}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"use_default_denylist": False}, {"authorization", "x-a", "x-ab", "x-real-ip"}),
        ({"deny": [" X-A "]}, {"authorization", "x-ab"}),
        ({"deny": ["AUTHORIZATION", ""]}, {"x-a", "x-ab"}),
        ({"deny_prefixes": ["X-A"]}, {"authorization"}),
        ({"deny_prefixes": [" "]}, {"authorization", "x-a", "x-ab"}),
        ({"allow": ["Cookie", "X-Real-IP"]}, {"cookie", "x-real-ip"}),
        ({"allow": ["X-A", "X-AB"], "deny": ["x-a"]}, {"x-ab"}),
        ({"allow": ["X-A", "Cookie"], "deny_prefixes": ["x-"]}, {"cookie"}),
        ({"allow": ["  ", ""]}, {"authorization", "x-a", "x-ab"}),
        ({"allow": [], "deny": None}, {"authorization", "x-a", "x-ab"}),
    ],
)
def test_select__options(options, expected):
    """Allowing replaces the rule and the built-in list; denying always subtracts."""
    names = ("Authorization", "X-A", "X-AB", "X-Real-IP", "Cookie")

    assert forwarded(options, *names) == expected


def test_from_options__unknown_key():
    """A misspelt option is refused: headers would leak silently otherwise."""
    with pytest.raises(ValueError, match="denny"):
        HeaderPolicy.from_options({"denny": ["x-a"]})
