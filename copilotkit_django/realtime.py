"""Live thread lists for the official client: where its socket is, and who may join which topic.

Each scope has a topic. The client is told its code with the list of threads, asks for a token to
join it, and shows the token with every handshake, for as long as the page is open. A token is good
for one topic, is encrypted, and dies with the session or the password it was asked for with.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user, get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, salted_hmac

from copilotkit_django.exceptions import Unauthenticated
from copilotkit_django.operations.call import Call
from copilotkit_django.sessions import session_key_of
from copilotkit_django.visitors import is_known_visitor

#: In an ASGI scope: the endpoints whose sockets this very application serves, and where.
SOCKETS = "copilotkit.realtime"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token says: whose topic may be joined, and as whom."""

    scope: str
    #: When it was asked for, in seconds since the epoch.
    issued: float
    session_key: str | None = None
    user: str | None = None
    #: Changes with the password.
    auth_hash: str | None = None

    @property
    def topic(self) -> str:
        return f"user_meta:{join_code(self.scope)}"


def url_for(call: Call) -> str | None:
    """Where the client opens its socket; ``None`` if it cannot.

    A path, or a whole URL for pages of another origin, which would take a path for one of theirs.
    """
    if call.endpoint.runner.watch is None:
        return None
    url = call.endpoint.options.realtime_url
    if url is None:
        url = _served_at(call)
    if not url or not url.startswith("/"):
        return url or None
    request: HttpRequest = call.request
    origin = request.META.get("HTTP_ORIGIN", "")
    host = request.get_host()
    # Anybody may send what is no origin at all, which is not to be parsed.
    if not origin or origin.partition("://")[2] == host:
        return url
    return f"{'wss' if request.is_secure() else 'ws'}://{host}{url}"


def _served_at(call: Call) -> str | None:
    scope = getattr(call.request, "scope", {})
    for find_runtime, path in scope.get(SOCKETS, ()):
        if find_runtime().endpoint is call.endpoint:
            return f"{scope.get('root_path', '')}{path}"
    return None


def join_code(scope: str) -> str:
    """What only those know who may see the threads of a scope."""
    return salted_hmac("copilotkit.realtime", scope, algorithm="sha256").hexdigest()[:40]


async def join_token(call: Call) -> str:
    """A token for the topic of whoever calls.

    Raises `Unauthenticated` for a browser that has no cookie of ours yet.
    """
    if not is_known_visitor(call.request, call.scope):
        raise Unauthenticated("Ask for /info first and keep the cookie it sets.")
    session_key = await session_key_of(call.request, call.user)
    user, auth_hash = None, None
    if isinstance(call.user, get_user_model()):
        user = str(call.user.pk)
        auth_hash = call.user.get_session_auth_hash()
    data = [call.scope, time.time(), session_key, user, auth_hash]
    return _cipher().encrypt(orjson.dumps(data)).decode()


def read_token(token: str) -> Grant | None:
    """What a token says, however old it is; ``None`` if it is none of ours."""
    try:
        scope, issued, session_key, user, auth_hash = orjson.loads(_cipher().decrypt(token))
    except (InvalidToken, ValueError, TypeError):
        return None
    return Grant(scope, issued, session_key, user, auth_hash)


async def still_holds(grant: Grant) -> bool:
    """Whether the session and the password of a grant are still those it was given for."""
    if grant.user is None:
        return True
    return await sync_to_async(_still_holds)(grant)


def _still_holds(grant: Grant) -> bool:
    if grant.session_key is not None:
        store = import_module(settings.SESSION_ENGINE).SessionStore
        request = HttpRequest()
        request.session = store(grant.session_key)
        if request.session.get(SESSION_KEY) != grant.user:
            return False
        user: Any = get_user(request)
        return bool(user.is_authenticated and user.is_active)
    users: Any = get_user_model()._default_manager
    try:
        user = users.filter(pk=grant.user).first()
    except (ValueError, ValidationError):
        return False
    if user is None or not user.is_active:
        return False
    return constant_time_compare(user.get_session_auth_hash(), grant.auth_hash or "")


def _cipher() -> MultiFernet:
    secrets: Iterable[str | bytes] = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_key(secret)) for secret in secrets])


def _key(secret: str | bytes) -> bytes:
    material = secret.encode() if isinstance(secret, str) else secret
    digest = hashlib.blake2b(material, digest_size=32, person=b"realtime token").digest()
    return base64.urlsafe_b64encode(digest)
