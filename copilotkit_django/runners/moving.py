"""Threads that change hands: those of a visitor who turns out to be somebody."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import uuid4

from django.db import IntegrityError

from copilotkit_django.keys import digest_of
from copilotkit_django.models import DeletedThread
from copilotkit_django.runners.base import ThreadRef
from copilotkit_django.runners.sql import chunks, marks
from copilotkit_django.runners.store import Store
from copilotkit_django.runners.threads import MovedThread

#: Somebody may begin a thread of the same id in the middle of it, so often.
ATTEMPTS = 5


class Move(NamedTuple):
    """A thread that has been moved, and its primary key."""

    pk: int
    thread: MovedThread


def move_threads(store: Store, scope: str, to: str, user: Any = None) -> list[Move]:
    """Give all threads of a scope to another one in one transaction; returns what was moved.

    ``user`` is who the other scope is, if it is one user. A thread whose id is taken there gets a
    new one. Runs, leases and fences stay as they are. Call it where writes are allowed.
    """
    if scope == to:
        return []
    for _ in range(ATTEMPTS - 1):
        try:
            return _move(store, scope, to, user)
        except IntegrityError:
            # An id was taken after we had looked for those that are.
            continue
    return _move(store, scope, to, user)


def _move(store: Store, scope: str, to: str, user: Any) -> list[Move]:
    with store.transaction():
        names = dict(
            store.select(
                "SELECT {key}, thread_id FROM {thread} WHERE scope_key=%s", [digest_of(scope)]
            )
        )
        # Locked by their keys and in the order of these, as for every other write. What has got
        # another key since belongs to somebody else by now.
        locked = store.lock(sorted(names))
        found = {thread.pk: ThreadRef(to, names[key]) for key, thread in locked.items()}
        taken = {
            key
            for chunk in chunks([ref.key for ref in found.values()])
            for (key,) in store.select(
                f"SELECT {{key}} FROM {{thread}} WHERE {{key}} IN ({marks(chunk)})", chunk
            )
        }
        moves = [
            Move(
                pk,
                MovedThread(
                    ThreadRef(scope, ref.thread_id),
                    ThreadRef(to, str(uuid4())) if ref.key in taken else ref,
                ),
            )
            for pk, ref in found.items()
        ]
        # Those that are older than memory keys are remembered by the key they have lost by now.
        memory_keys = {each.pk: each.memory_key or each.key for each in locked.values()}
        scope_key, owner, now = digest_of(to), store.user(user), store.now()
        store.execute_many(
            "UPDATE {thread} SET scope=%s, scope_key=%s, user_id=%s, thread_id=%s, {key}=%s, "
            "memory_key=%s, updated_at=%s WHERE id=%s",
            [
                (
                    to,
                    scope_key,
                    owner,
                    thread.after.thread_id,
                    thread.after.key,
                    memory_keys[pk],
                    now,
                    pk,
                )
                for pk, thread in moves
            ],
        )
        # Lists that are on screen: those of the one scope lose them, those of the other get them.
        store.insert(
            DeletedThread,
            ("scope_key", "thread_id", "deleted_at"),
            [(digest_of(scope), thread.before.thread_id, now) for _, thread in moves],
        )
        return moves
