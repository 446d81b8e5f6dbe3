"""How many runs an owner may have at a time, as far as one process can tell."""

from __future__ import annotations

from collections import Counter

from copilotkit_django.exceptions import TooManyRuns


class Slots:
    """The places taken by the live runs of each owner. Belongs to one event loop.

    Runs on one thread take one place together: whether a second one may begin there, or ends the
    first, is for the runner to say.
    """

    def __init__(self) -> None:
        self._taken: dict[str, Counter[str]] = {}

    def take(self, owner: str, thread_key: str, limit: int) -> Slot:
        """A place for a run that is about to start. Raises `TooManyRuns`."""
        taken = self._taken.get(owner, Counter())
        if thread_key not in taken and len(taken) >= limit:
            raise TooManyRuns(limit)
        return Slot(self, owner, thread_key)

    def add(self, owner: str, thread_key: str) -> None:
        self._taken.setdefault(owner, Counter())[thread_key] += 1

    def remove(self, owner: str, thread_key: str) -> None:
        taken = self._taken[owner]
        taken[thread_key] -= 1
        if not taken[thread_key]:
            del taken[thread_key]
        if not taken:
            del self._taken[owner]

    def __len__(self) -> int:
        """How many owners have live runs."""
        return len(self._taken)


class Slot:
    """The place of one run: kept for it until it has started, or has not; then its own."""

    __slots__ = ("_is_held", "_is_used", "_owner", "_slots", "_thread_key")

    def __init__(self, slots: Slots, owner: str, thread_key: str) -> None:
        self._slots, self._owner, self._thread_key = slots, owner, thread_key
        self._is_used = self._is_held = False
        self._hold()

    def _hold(self) -> None:
        if not self._is_held:
            self._is_held = True
            self._slots.add(self._owner, self._thread_key)

    def use(self) -> None:
        """The run has started. It may do so after its caller has left, and counts all the same."""
        self._is_used = True
        self._hold()

    def settle(self) -> None:
        """The caller has what it waited for: without a run that has started the place is free."""
        if not self._is_used:
            self.release()

    def release(self) -> None:
        """The run is over."""
        if self._is_held:
            self._is_held = False
            self._slots.remove(self._owner, self._thread_key)
