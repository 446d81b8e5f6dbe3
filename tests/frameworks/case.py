"""What a framework declares to take part in the scenarios."""

from __future__ import annotations

import abc
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from typing import Any, ClassVar

from copilotkit_django.agents import Agent
from copilotkit_django.testing import FakeLLM

#: The scenarios, as the columns of the table are called.
SCENARIOS = {
    "text": "Text",
    "server_tool": "Server tools",
    "page_tool": "Tools of the page",
    "reasoning": "Reasoning",
    "state": "Shared state",
    "interrupt": "Interrupts",
    "errors": "Errors",
    "stop": "Stop",
    "memory": "Two runs on one thread",
    "concurrent": "50 runs at once",
    "owners": "Two owners, one thread id",
}


class Case(abc.ABC):
    """One framework: how its agent is made, and what it cannot do.

    The agent has the tools of `tests.frameworks.tools` in the way of its framework: ``weather``, a
    plain function that uses the database; for ``state`` in addition ``set_title``, which returns
    ``was …`` and changes the shared state; for ``interrupt`` in addition ``wipe``, which asks for
    approval before it does anything.
    """

    #: As the table names it, and the package whose version stands beside it.
    title: ClassVar[str]
    package: ClassVar[str]
    #: What must be importable for it to run here.
    modules: ClassVar[tuple[str, ...]]
    #: The class, with its module in ``copilotkit_django.contrib``.
    adapter: ClassVar[str]
    #: Scenario: why the framework cannot. The scenario must fail, or the reason is out of date.
    cannot: ClassVar[Mapping[str, str]] = {}
    #: What a reader should know of a scenario that passes.
    notes: ClassVar[Mapping[str, str]] = {}
    #: It goes with few others, so it is tried in an environment of its own.
    exclusive: ClassVar[bool] = False
    #: What a page sends to approve an interrupt.
    approval: ClassVar[Any] = {"approved": True}

    @abc.abstractmethod
    def agent(self, llm: FakeLLM, scenario: str) -> Agent:
        """The agent, talking to the model through the framework's own client of a provider."""

    async def close(self, agent: Agent) -> None:  # noqa: B027 - most hold nothing
        """Let go of what the agent holds; called on the loop it ran on."""

    @classmethod
    def missing(cls) -> str | None:
        """The first module that is not there, if any."""
        return next((name for name in cls.modules if not _is_there(name)), None)

    @classmethod
    def version(cls) -> str:
        return importlib.metadata.version(cls.package)


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        # Of a package that is not there itself.
        return False
