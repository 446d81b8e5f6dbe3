"""The system checks: one id for each thing an operator has to put right."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from copilotkit_django.asgi import get_asgi_application
from copilotkit_django.checks import check_deployment, check_settings, check_surroundings
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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"AUTHENTICATION": "anonymous-shared"}, ["copilotkit.E010"]),
        ({"EXPOSE_ERROR_TEXT": True}, ["copilotkit.W010"]),
        ({"KEEPALIVE_SECONDS": "15"}, []),
    ],
)
def test_deployment__options(options, expected):
    """What is fine on a developer's machine only is said at deployment, once."""
    with override_settings(COPILOTKIT=options):
        assert ids(check_deployment()) == expected
