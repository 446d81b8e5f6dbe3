"""Tickets: how clients that cannot send headers with a websocket's handshake say who they are.

A ticket is asked for with an ordinary, authenticated POST, is good for one handshake within a
minute, and stands for the headers of that POST. The database holds it (not the cache, which by
default belongs to one process), so that it is good once among all processes: whoever deletes its
row has it. The headers are encrypted with a key made of the ticket, which is kept nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from cryptography.fernet import Fernet
from django.utils import timezone

from copilotkit_django.exceptions import Unauthenticated
from copilotkit_django.operations.call import Call
from copilotkit_django.visitors import is_known_visitor

#: How long a ticket waits for its handshake.
TICKET_SECONDS = 60

#: Headers of the POST, as an ASGI scope has them.
Headers = list[tuple[bytes, bytes]]


async def issue(call: Call) -> dict[str, Any]:
    """A ticket for whoever sent this request: ``{"ticket", "expiresIn"}``, the latter in seconds.

    Raises `Unauthenticated` for a visitor whose browser has no cookie of ours yet: there would be
    nothing to know them by.
    """
    if not is_known_visitor(call.request, call.scope):
        raise Unauthenticated("Ask for /info first and keep the cookie it sets.")
    ticket = secrets.token_urlsafe(32)
    sealed = _seal(ticket, call.request.scope["headers"])
    await sync_to_async(_store)(_digest(ticket), sealed)
    return {"ticket": ticket, "expiresIn": TICKET_SECONDS}


async def redeem(ticket: str) -> Headers | None:
    """The headers a ticket stands for; ``None`` if it is none, too old or was redeemed before."""
    sealed = await sync_to_async(_take)(_digest(ticket))
    return None if sealed is None else _open(ticket, sealed)


def _tickets() -> Any:
    # Imported on use: a project's asgi.py imports this package before the app registry is ready.
    from copilotkit_django.models import Ticket

    return Ticket.objects


def _store(digest: str, sealed: bytes) -> None:
    now = timezone.now()
    _tickets().filter(expires_at__lt=now).delete()
    expires_at = now + timedelta(seconds=TICKET_SECONDS)
    _tickets().create(digest=digest, headers=sealed, expires_at=expires_at)


def _take(digest: str) -> bytes | None:
    found = _tickets().filter(digest=digest, expires_at__gte=timezone.now())
    row = found.first()
    # Of those who have read the row only one deletes it.
    if row is None or not found.delete()[0]:
        return None
    return bytes(row.headers)


def _digest(ticket: str) -> str:
    return hashlib.blake2b(ticket.encode(), digest_size=32, person=b"ticket").hexdigest()


def _cipher(ticket: str) -> Fernet:
    key = hashlib.blake2b(ticket.encode(), digest_size=32, person=b"ticket headers").digest()
    return Fernet(base64.urlsafe_b64encode(key))


def _seal(ticket: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    pairs = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]
    return _cipher(ticket).encrypt(orjson.dumps(pairs))


def _open(ticket: str, sealed: bytes) -> Headers:
    pairs = orjson.loads(_cipher(ticket).decrypt(sealed))
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
