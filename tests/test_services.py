"""A test that cannot run here is skipped by name, and CI cannot pass by skipping."""

import pytest

from tests import services


@pytest.fixture(autouse=True)
def machine_without_redis(monkeypatch):
    monkeypatch.setattr(services, "find", lambda name: None if name == "redis" else f"/bin/{name}")
    monkeypatch.setattr(services, "missed", type(services.missed)())
    monkeypatch.delenv("CI_REQUIRE_ALL", raising=False)


def test_require__service_is_there():
    """The caller is told where the service is."""
    assert services.require("node") == "/bin/node"
    assert not services.missed


def test_require__service_is_missing():
    """The test is skipped, the reason names the service, and the report counts it."""
    with pytest.raises(pytest.skip.Exception, match="Redis is not there"):
        services.require("redis")

    assert services.missed == {"redis": 1}


def test_require__service_is_missing_on_ci(monkeypatch):
    """Where everything has to run, the test fails instead."""
    monkeypatch.setenv("CI_REQUIRE_ALL", "1")

    with pytest.raises(pytest.fail.Exception, match="Redis is not there"):
        services.require("redis")
