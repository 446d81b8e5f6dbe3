"""Programs and servers that some tests need and not every machine has.

A test asks with `@pytest.mark.needs("chromium")`, or with `require("chromium")` inside a fixture.
Where the service is missing the test is skipped and the service named at the end of the report;
with CI_REQUIRE_ALL=1 the test fails instead, so that CI cannot pass by skipping.
"""

import functools
import importlib.util
import os
import shutil
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.clients import packages
from tests.websockets import packages as websocket_packages

#: How many tests were skipped, or failed, for want of each service.
missed: Counter[str] = Counter()


@dataclass(frozen=True)
class Service:
    """`find` returns where the service is (a path or an address), or None."""

    title: str
    find: Callable[[], str | None]
    remedy: str


def _program(variable: str, *names: str) -> Callable[[], str | None]:
    def find() -> str | None:
        candidates = filter(None, (os.environ.get(variable), *names))
        return next(filter(None, map(shutil.which, candidates)), None)

    return find


def _module(name: str) -> Callable[[], str | None]:
    def find() -> str | None:
        spec = importlib.util.find_spec(name)
        return spec.origin if spec else None

    return find


def _server(variable: str, default: str) -> Callable[[], str | None]:
    def find() -> str | None:
        address = os.environ.get(variable, default)
        url = urlsplit(address)
        try:
            socket.create_connection((url.hostname or "127.0.0.1", url.port or 0), 1).close()
        except OSError:
            return None
        return address

    return find


SERVICES = {
    "chromium": Service(
        "Chromium",
        _program("CHROMIUM", "chromium", "chromium-browser", "google-chrome"),
        "apt install chromium, or CHROMIUM=/path/to/it",
    ),
    "mariadb": Service(
        "MariaDB",
        _server("MARIADB_URL", "mysql://127.0.0.1:3306/mysql"),
        "start one on 127.0.0.1:3306, or MARIADB_URL=mysql://...",
    ),
    "nginx": Service(
        "nginx",
        _program("NGINX", "nginx", "/usr/sbin/nginx"),
        "apt install nginx-light, or NGINX=/path/to/it",
    ),
    "node": Service(
        "Node.js",
        _program("NODE", "node"),
        "install Node.js 20 or later with npm, or NODE=/path/to/it",
    ),
    "official-clients": Service(
        "The installation of the official clients",
        packages.installed,
        "let npm reach a registry: npm ci --prefix tests/clients",
    ),
    "playwright": Service(
        "Playwright",
        _module("playwright"),
        "pip install -r requirements-dev.txt",
    ),
    "postgres": Service(
        "PostgreSQL",
        _server("POSTGRES_URL", "postgresql://127.0.0.1:5432/postgres"),
        "start one on 127.0.0.1:5432, or POSTGRES_URL=postgresql://...",
    ),
    "websocket-clients": Service(
        "The installation of the websocket clients",
        websocket_packages.installed,
        "let npm reach a registry: npm ci --prefix tests/websockets",
    ),
    "redis": Service(
        "Redis",
        _server("REDIS_URL", "redis://127.0.0.1:6379/0"),
        "start one on 127.0.0.1:6379, or REDIS_URL=redis://...",
    ),
    "redis-server": Service(
        "A Redis of the tests' own",
        _program("REDIS_SERVER", "redis-server"),
        "apt install redis-server, or REDIS_SERVER=/path/to/it",
    ),
}


@functools.cache
def find(name: str) -> str | None:
    """Where a service is, or None. Asked once per test run."""
    return SERVICES[name].find()


def require(name: str) -> str:
    """Return where a service is; skip the calling test or module where there is none."""
    where = find(name)
    if where is not None:
        return where
    missed[name] += 1
    service = SERVICES[name]
    reason = f"{service.title} is not there: {service.remedy}"
    if os.environ.get("CI_REQUIRE_ALL") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)
