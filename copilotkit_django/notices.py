"""What one part of a process tells the others: threads that changed, sessions that ended.

Other processes are told by hints (`copilotkit_django.runners.hints`), which deliver here.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from copilotkit_django.keys import digest_of

if TYPE_CHECKING:
    from copilotkit_django.runners.base import ThreadRef

Listener = Callable[[list[str]], None]


class Notices:
    """Those who want to be told of one kind of thing. May be used from any thread."""

    def __init__(self) -> None:
        self._listeners: dict[Listener, asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()

    def listen(self, listener: Listener) -> None:
        """Have it called, on this loop, with what is told from now on."""
        with self._lock:
            self._listeners[listener] = asyncio.get_running_loop()

    def forget(self, listener: Listener) -> None:
        """Call it no more."""
        with self._lock:
            self._listeners.pop(listener, None)

    def tell(self, news: Sequence[str]) -> None:
        """Tell whoever listens, each on its own loop. Returns at once."""
        with self._lock:
            listeners = list(self._listeners.items())
        for listener, loop in listeners:
            if loop.is_closed():
                self.forget(listener)
            else:
                loop.call_soon_threadsafe(listener, list(news))


#: Digests of sessions that have ended.
logouts = Notices()

#: Threads that changed, as ``<scope key>:<thread key>:<operation>``.
thread_changes = Notices()


#: By the names they have in hints.
BY_NAME = {"logouts": logouts, "threads": thread_changes}


def deliver(name: str, news: Sequence[str]) -> None:
    """Tell those of this process who listen to notices of that name."""
    notices = BY_NAME.get(name)
    # Another version of this package may know others.
    if notices is not None:
        notices.tell(news)


def thread_news(thread: ThreadRef, operation: str = "") -> str:
    """What `thread_changes` tells of a thread; ``operation`` as its readers are to be told it."""
    return f"{digest_of(thread.scope)}:{thread.key}:{operation}"


def session_digest(session_key: str) -> str:
    """A session as it is named to others: its key would let them in."""
    return hashlib.blake2b(session_key.encode(), digest_size=16, person=b"session").hexdigest()
