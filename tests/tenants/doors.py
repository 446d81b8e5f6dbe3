"""The doors a caller can come in by, and everything each of them can be asked for.

**How a door registers its operations.** Write a class like those in `http`, `admin` and `commands`
and add it to `DOORS`:

- ``operations()`` returns the name of everything the door can be asked for, *found in the code that
  serves it* (a route table, a URLconf, a table of messages): nothing may be written down twice.
- ``questions(operation)`` returns the ways to ask for one of them, none if the door does not know
  how. Then `test_doors` fails and names it, so that what is added cannot be forgotten.

Each `Question` is then asked by users and visitors about threads of others and about threads that
are not there, over each runner, and has to be answered alike.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .world import Person, Target, World


@dataclass(frozen=True)
class Seen:
    """Everything a caller gets to see of an answer."""

    #: An HTTP status, a close code, an exit code.
    status: Any
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def everything(self) -> bytes:
        """All of it, to look for what must not be in it."""
        lines = [f"{name}: {value}" for name, value in sorted(self.headers.items())]
        return "\n".join([str(self.status), *lines, ""]).encode(errors="replace") + self.body


#: Asks as a person about a target; returns what the person sees.
Ask = Callable[["World", "Person", "Target"], Awaitable[Seen]]


@dataclass(frozen=True)
class Question:
    """One way to ask for an operation."""

    name: str
    ask: Ask
    #: About a thread: asked about one of somebody else's and one that is not there, which must be
    #: answered alike. A list is about none.
    about_thread: bool = True
    #: How many database statements it takes is compared, too.
    counted: bool = True


class Door(Protocol):
    """A way in. See the module's text."""

    name: str
    #: The kinds of runners it is tried over.
    runners: Sequence[str]

    def operations(self) -> Sequence[str]: ...

    def questions(self, operation: str) -> Sequence[Question]: ...


def doors() -> list[Door]:
    """All of them."""
    from .admin import AdminDoor
    from .commands import CommandDoor
    from .http import EnvelopeDoor, PathDoor
    from .sockets import ConnectDoor, ListDoor

    return [
        PathDoor(),
        EnvelopeDoor(),
        AdminDoor(),
        CommandDoor(),
        ConnectDoor(),
        ListDoor(),
    ]
