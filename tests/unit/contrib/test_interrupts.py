"""Interrupt ids that carry what is needed to go on."""

from __future__ import annotations

import pytest

from copilotkit_django.agents import RunContext, RunInput
from copilotkit_django.contrib.interrupts import UnknownInterrupt, seal, unseal


def context(thread_key="key", agent_id="default"):
    return RunContext(RunInput("t", "r"), agent_id=agent_id, thread_key=thread_key)


def test_seal__opened_in_another_run():
    """What was sealed comes back in any later run of the thread, in any process."""
    value = {"task": "1", "parts": [1, None, "ä" * 1000]}

    assert unseal(seal(value, context()), context()) == value


@pytest.mark.parametrize(
    "other", [context(thread_key="theirs"), context(agent_id="another")], ids=["thread", "agent"]
)
def test_unseal__asked_elsewhere(other):
    """A question put to another thread, or by another agent, cannot be answered here."""
    with pytest.raises(UnknownInterrupt):
        unseal(seal("task", other), context())


@pytest.mark.parametrize("made_up", ["", "task", ":::", "ImEi:1xUN1G:abc"])
def test_unseal__made_up(made_up):
    """Nobody can make up an id."""
    with pytest.raises(UnknownInterrupt):
        unseal(made_up, context())
