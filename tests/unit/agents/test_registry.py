"""Which agents there are: every form AGENTS may have."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from copilotkit_django.agents import FunctionAgent, agent
from copilotkit_django.agents.registry import AgentRegistry
from tests.acting import Parrot


@agent(name="named")
async def named(context):
    yield context.started()


async def bare(context):
    """Says nothing much."""
    yield context.started()


def not_an_agent(context):
    return None


MAPPING = {"default": Parrot(), "other": named}
LIST = [named]


def factory(request):
    return {f"for-{request}": Parrot()}


async def async_factory(request):
    return [FunctionAgent(bare, name=f"for-{request}")]


class CallableFactory:
    async def __call__(self, request):
        return factory(request)


def path(name):
    return f"{__name__}.{name}"


async def ids(source, request="ada"):
    return list(await AgentRegistry(source).all(request))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, []),
        ([], []),
        (MAPPING, ["default", "other"]),
        ({"default": Parrot}, ["default"]),
        ({"default": bare}, ["default"]),
        ({"default": path("named")}, ["default"]),
        ({"default": path("bare")}, ["default"]),
        ({"default": "tests.acting.Parrot"}, ["default"]),
        (LIST, ["named"]),
        ((named, FunctionAgent(bare)), ["named", "bare"]),
        ([bare, path("named")], ["bare", "named"]),
        (path("MAPPING"), ["default", "other"]),
        (path("LIST"), ["named"]),
        (factory, ["for-ada"]),
        (async_factory, ["for-ada"]),
        (CallableFactory(), ["for-ada"]),
        (path("factory"), ["for-ada"]),
        (path("async_factory"), ["for-ada"]),
        (lambda request: async_factory(request), ["for-ada"]),
    ],
)
async def test_all__each_form(source, expected):
    """Mappings, lists, dotted paths to either or to one agent, and factories of both kinds."""
    assert await ids(source) == expected


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "None"),
        (7, "7"),
        ("tests.nowhere.agents", "tests.nowhere.agents"),
        (path("missing"), "missing"),
        ({"default": None}, "'default'"),
        ({"default": not_an_agent}, "not_an_agent"),
        ({"default": "tests.nowhere.agent"}, "tests.nowhere.agent"),
        ([Parrot()], "needs a name"),
        ([named, named], "Two agents are named 'named'"),
        (Parrot(), "not a mapping or a list"),
        (path("named"), "not a mapping or a list"),
    ],
)
def test_registry__refused(source, said):
    """What can be told to be wrong without a request is told at once."""
    with pytest.raises(ImproperlyConfigured, match=said):
        AgentRegistry(source)


@pytest.mark.parametrize("result", [None, [named, named], {"default": 7}, "tests.acting.Parrot"])
async def test_all__factory_with_wrong_result(result):
    """What a factory returns is held to the same rules."""
    with pytest.raises(ImproperlyConfigured):
        await AgentRegistry(lambda request: result).all(None)


async def test_all__factory_that_raises():
    """What a factory raises is its caller's to deal with."""

    def broken(request):
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        await AgentRegistry(broken).all(None)


async def test_all__factory_called_each_time():
    """A factory may answer each request differently."""
    registry = AgentRegistry(factory)

    assert list(await registry.all("ada")) == ["for-ada"]
    assert list(await registry.all("bob")) == ["for-bob"]
