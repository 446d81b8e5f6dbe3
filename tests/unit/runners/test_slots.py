"""How many runs an owner may have at a time."""

from __future__ import annotations

import pytest

from copilotkit_django.exceptions import TooManyRuns
from copilotkit_django.runners.slots import Slots


@pytest.fixture
def slots() -> Slots:
    return Slots()


def test_take__up_to_the_limit(slots):
    """One too many is refused, for this owner only; a place that is given back is free."""
    first = slots.take("alice", "t1", 2)
    slots.take("alice", "t2", 2)

    with pytest.raises(TooManyRuns):
        slots.take("alice", "t3", 2)
    slots.take("bob", "t3", 2)
    first.release()
    slots.take("alice", "t3", 2)


def test_take__same_thread(slots):
    """A request sent again, or a run that supersedes another, needs no place of its own."""
    first = slots.take("alice", "t1", 1)
    second = slots.take("alice", "t1", 1)

    first.release()
    with pytest.raises(TooManyRuns):
        slots.take("alice", "t2", 1)
    second.release()
    assert len(slots) == 0


def test_settle__started(slots):
    """A run that has started keeps its place until it is over."""
    slot = slots.take("alice", "t1", 1)

    slot.use()
    slot.settle()
    assert len(slots) == 1
    slot.release()
    slot.release()
    assert len(slots) == 0


def test_settle__not_started(slots):
    """Refused, or joined to another run: the place is free at once."""
    slot = slots.take("alice", "t1", 1)

    slot.settle()

    assert len(slots) == 0


def test_use__after_its_caller_has_left(slots):
    """A run that starts for nobody counts all the same: leaving is no way around the limit."""
    slot = slots.take("alice", "t1", 1)
    slot.settle()

    slot.use()

    with pytest.raises(TooManyRuns):
        slots.take("alice", "t2", 1)
