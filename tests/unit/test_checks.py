"""The system checks: one id for each thing an operator has to put right."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from copilotkit_django.agents import Agent, FunctionAgent
from copilotkit_django.asgi import get_asgi_application
from copilotkit_django.checks import (
    check_agents,
    check_databases,
    check_deployment,
    check_layers,
    check_settings,
    check_surroundings,
)
from copilotkit_django.checks import surroundings as surroundings_checks
from copilotkit_django.checks.surroundings import RESERVED_CONNECTIONS
from copilotkit_django.runners import InMemoryRunner
from tests.acting import Parrot


def ids(messages):
    return [message.id for message in messages]


def test_settings__of_the_test_project():
    """A project with one agent has nothing to put right."""
    assert check_settings() == []


@override_settings(COPILOTKIT="AGENTS")
def test_settings__not_a_dict():
    """The dict itself may be wrong."""
    assert ids(check_settings()) == ["copilotkit.E001"]


@override_settings(COPILOTKIT={"AGENTS": {"default": Parrot()}, "HOKS": {}})
def test_settings__unknown_key():
    """A misspelt setting comes with a hint."""
    (message,) = check_settings()

    assert message.id == "copilotkit.E002"
    assert "HOOKS" in message.hint


@override_settings(COPILOTKIT={"AGENTS": {"default": Parrot()}, "KEEPALIVE_SECONDS": "15"})
def test_settings__wrong_value():
    """A value that cannot be used is an error."""
    (message,) = check_settings()

    assert message.id == "copilotkit.E003"
    assert "KEEPALIVE_SECONDS" in message.msg


HEADERS = {"headers": {"Authorization": "Bearer s3cret"}}


@pytest.mark.parametrize(
    "servers",
    [
        {"url": "https://a.example", **HEADERS},
        [{"url": "https://[a.example", **HEADERS}],
        [{"url": "https://a.example", "agents": 7, **HEADERS}],
        [{"url": "https://me:s3cret@a.example"}],
        [("https://a.example", "s3cret")],
    ],
)
def test_settings__no_credentials_in_what_is_said(servers):
    """What is wrong with an MCP server is said without what it is asked with."""
    with override_settings(COPILOTKIT={"AGENTS": {"default": Parrot()}, "MCP_APPS": servers}):
        (message,) = check_settings()

    assert message.id == "copilotkit.E003"
    assert "s3cret" not in message.msg


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("INTELLIGENCE", "no hosted service"),
        ("IDENTIFY_USER", "AUTHENTICATION"),
        ("CORS", "ORIGINS"),
    ],
)
def test_settings__of_the_node_runtime(key, hint):
    """A setting of the Node runtime is told what there is in its place."""
    with override_settings(COPILOTKIT={"AGENTS": {"default": Parrot()}, key: {"apiKey": "x"}}):
        (message,) = check_settings()

    assert message.id == "copilotkit.E005"
    assert hint in message.hint


@override_settings(COPILOTKIT={})
def test_settings__no_agents():
    """A project may start without agents, but is told."""
    assert ids(check_settings()) == ["copilotkit.W001"]


@override_settings(COPILOTKIT={"HOKS": {}, "KEEPALIVE_SECONDS": "15"})
def test_asgi_application__wrong_settings():
    """ASGI servers run no checks, so building the application raises what they would say."""
    expected = [message.msg for message in check_settings() if message.is_serious()]

    with pytest.raises(ImproperlyConfigured) as caught:
        get_asgi_application()

    assert len(expected) == 2
    for text in expected:
        assert text in str(caught.value)


@override_settings(WSGI_APPLICATION="project.wsgi.application", ASGI_APPLICATION=None)
def test_surroundings__wsgi_only():
    """A project that names only a WSGI application is warned."""
    assert "copilotkit.W002" in ids(check_surroundings())


@override_settings(WSGI_APPLICATION=None)
def test_surroundings__atomic_requests(settings, monkeypatch):
    """ATOMIC_REQUESTS does not reach the endpoint, which its owner has to know."""
    monkeypatch.setitem(settings.DATABASES["default"], "ATOMIC_REQUESTS", True)

    assert ids(check_surroundings()) == ["copilotkit.W003"]


@pytest.mark.parametrize("middleware", [[], [surroundings_checks.GZIP]])
def test_surroundings__gzip(settings, middleware):
    """Who compresses is told what is compressed; it stops nothing."""
    settings.MIDDLEWARE = middleware

    expected = ["copilotkit.I001"] if middleware else []
    assert ids(check_surroundings()) == expected
    assert not any(message.is_serious() for message in check_surroundings())


class Described(Parrot):
    description = "Repeats what it is told."


class TestAgents:
    @pytest.mark.parametrize(
        ("agents", "expected"),
        [
            ({"default": Described()}, None),
            ({"b": FunctionAgent(Parrot().run), "a": Parrot(), "c": Described()}, "a, b"),
            (lambda request: {"default": Parrot()}, None),
            ("tests.unit.test_checks.REGISTERED", "default"),
            ({"default": 5}, None),
        ],
    )
    def test_description(self, agents, expected):
        """Agents that do not say what they are for are named."""
        for agent in agents.values() if isinstance(agents, dict) else ():
            if isinstance(agent, Agent) and not isinstance(agent, Described):
                agent.description = ""
        with override_settings(COPILOTKIT={"AGENTS": agents}):
            messages = check_agents()

        assert [message.id for message in messages] == ["copilotkit.W005"] * bool(expected)
        assert all(f": {expected}." in message.msg for message in messages)


class Silent(Parrot):
    description = ""


REGISTERED = {"default": Silent()}


class TestPool:
    @pytest.mark.parametrize(
        ("options", "warned"),
        [
            ({}, False),
            ({"pool": False}, False),
            ({"pool": True}, True),
            ({"pool": {}}, False),
            ({"pool": {"min_size": 2}}, True),
            ({"pool": {"min_size": 50}}, False),
            ({"pool": {"min_size": 2, "max_size": RESERVED_CONNECTIONS}}, True),
            ({"pool": {"min_size": 2, "max_size": RESERVED_CONNECTIONS + 1}}, False),
            ({"pool": {"min_size": 2, "max_size": None}}, True),
        ],
    )
    def test_size(self, settings, monkeypatch, options, warned):
        """A pool that the runner and its runs may use up leaves requests without."""
        database = {"ENGINE": "django.db.backends.postgresql", "OPTIONS": options}
        monkeypatch.setitem(settings.DATABASES, "default", database)

        assert ids(check_databases()) == ["copilotkit.W007"] * warned

    def test_other_database(self, settings, monkeypatch):
        """Others have no such pool."""
        database = {"ENGINE": "django.db.backends.mysql", "OPTIONS": {"pool": True}}
        monkeypatch.setitem(settings.DATABASES, "default", database)

        assert check_databases() == []


class TestLayers:
    @pytest.mark.parametrize(
        ("config", "warned"),
        [
            ({}, True),
            ({"hosts": [("127.0.0.1", 6379)]}, True),
            ({"hosts": ["redis://127.0.0.1"]}, True),
            ({"hosts": ["redis://127.0.0.1?socket_timeout=30"]}, False),
            ({"hosts": [{"address": "redis://127.0.0.1"}]}, True),
            ({"hosts": [{"address": "redis://127.0.0.1", "socket_timeout": None}]}, False),
            ({"hosts": [{"host": "127.0.0.1", "socket_timeout": 20}]}, False),
            ({"hosts": [{"host": "127.0.0.1", "socket_timeout": 5}]}, True),
            ({"hosts": [{"host": "a", "socket_timeout": None}, {"host": "b"}]}, True),
        ],
    )
    @pytest.mark.parametrize("version", [7, 8])
    def test_idle_consumers(self, settings, monkeypatch, config, warned, version):
        """From redis-py 8 on a layer on lists needs a timeout of its own."""
        monkeypatch.setattr(surroundings_checks, "_major_version", lambda package: version)
        settings.CHANNEL_LAYERS = {
            "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config}
        }

        assert ids(check_layers()) == ["copilotkit.W006"] * (warned and version == 8)

    @pytest.mark.parametrize(
        "backend", ["channels_redis.pubsub.RedisPubSubChannelLayer", surroundings_checks.GZIP]
    )
    def test_other_layer(self, settings, monkeypatch, backend):
        """Other layers do not wait like that."""
        monkeypatch.setattr(surroundings_checks, "_major_version", lambda package: 8)
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend}}

        assert check_layers() == []

    def test_version(self):
        """The installed version is asked for; a package that is not there has none."""
        assert surroundings_checks._major_version("django") >= 5
        assert surroundings_checks._major_version("no-such-package-there-is") == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"AUTHENTICATION": "anonymous-shared"}, ["copilotkit.E010"]),
        ({"ALLOWED_ORIGINS": ["*"]}, ["copilotkit.E011"]),
        ({"AUTHENTICATION": "anonymous"}, ["copilotkit.W013"]),
        ({"AUTHENTICATION": "anonymous", "TOKEN_BUDGETS": "9/d"}, []),
        ({"EXPOSE_ERROR_TEXT": True}, ["copilotkit.W010"]),
        ({"DEBUG_EVENTS": True}, ["copilotkit.W014"]),
        ({"RUNNER": InMemoryRunner}, ["copilotkit.W011"]),
        ({"RUNNER": InMemoryRunner()}, ["copilotkit.W011"]),
        ({"RUNNER": "copilotkit_django.runners.InMemoryRunner"}, ["copilotkit.W011"]),
        ({"KEEPALIVE_SECONDS": "15"}, []),
    ],
)
def test_deployment__options(options, expected):
    """What is fine on a developer's machine only is said at deployment, once."""
    with override_settings(COPILOTKIT=options):
        assert ids(check_deployment()) == expected


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("django.core.cache.backends.locmem.LocMemCache", ["copilotkit.W012"]),
        ("django.core.cache.backends.dummy.DummyCache", ["copilotkit.W017"]),
        ("django.core.cache.backends.filebased.FileBasedCache", ["copilotkit.W018"]),
        ("django.core.cache.backends.db.DatabaseCache", ["copilotkit.W018"]),
        ("django.core.cache.backends.redis.RedisCache", []),
    ],
)
@pytest.mark.parametrize("rates", [{}, {"run": "30/m"}])
def test_deployment__caches(settings, backend, expected, rates):
    """A cache in which requests cannot be counted for all processes is named, if any are."""
    settings.CACHES = {"default": {"BACKEND": backend}}
    settings.COPILOTKIT = {"RATE_LIMITS": rates}

    assert ids(check_deployment()) == (expected if rates else [])


@pytest.mark.parametrize(
    ("everybody", "with_cookies", "expected"),
    [(True, True, ["copilotkit.E012"]), (True, False, []), (False, True, []), (False, False, [])],
)
def test_deployment__cors(settings, everybody, with_cookies, expected):
    """CORS of the project's own that lets all pages read with cookies lets them read threads."""
    settings.CORS_ALLOW_ALL_ORIGINS = everybody
    settings.CORS_ALLOW_CREDENTIALS = with_cookies
    settings.COPILOTKIT = {}

    assert ids(check_deployment()) == expected


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("channels.layers.InMemoryChannelLayer", ["copilotkit.W015"]),
        ("channels_redis.pubsub.RedisPubSubChannelLayer", []),
    ],
)
def test_deployment__layers(settings, backend, expected):
    """A layer within one process reaches no other."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend}}
    settings.COPILOTKIT = {}

    assert ids(check_deployment()) == expected


@pytest.mark.parametrize(
    ("options", "expected"), [({}, ["copilotkit.W016"]), ({"transaction_mode": "IMMEDIATE"}, [])]
)
def test_deployment__sqlite(settings, monkeypatch, options, expected):
    """SQLite as startproject sets it up is one for a developer's machine."""
    database = {**settings.DATABASES["default"], "OPTIONS": options}
    monkeypatch.setitem(settings.DATABASES, "default", database)
    settings.COPILOTKIT = {}

    assert ids(check_deployment()) == expected


@pytest.mark.parametrize(
    "named",
    [
        {"A2UI": ["other"]},
        {"OPEN_GENERATIVE_UI": ["other"]},
        {"AGENT_MIDDLEWARE": {"other": []}},
        {"MCP_APPS": [{"url": "https://apps.example/mcp", "agents": ["other"]}]},
    ],
)
def test_agents__named_but_not_there(named):
    """Settings that name an agent nobody can call are told of; those of one that is there not."""
    with override_settings(COPILOTKIT={"AGENTS": {"default": Parrot()}, **named}):
        unknown = [message for message in check_agents() if message.id == "copilotkit.W008"]
    with override_settings(COPILOTKIT={"AGENTS": {"other": Parrot()}, **named}):
        known = [message for message in check_agents() if message.id == "copilotkit.W008"]

    assert ["other" in message.msg for message in unknown] == [True]
    assert known == []
