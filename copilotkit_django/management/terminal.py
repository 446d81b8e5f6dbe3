"""What management commands ask of the terminal, and what they may show there."""

from __future__ import annotations

import unicodedata
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError

#: Marks that turn the direction of text, so that it reads as something else.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: object, *, lines: bool = False) -> str:
    """A text of somebody else's with what could steer a terminal written out.

    ``lines``: line breaks and tabs may stay.
    """
    kept = "\n\t" if lines else ""
    return "".join(
        character if character in kept or not _steers(character) else ascii(character)[1:-1]
        for character in str(text)
    )


def _steers(character: str) -> bool:
    # Half a surrogate pair steers nothing, but no terminal takes it.
    return unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING


def user_named(username: str) -> Any:
    """The user of that name. Raises `CommandError`."""
    model = get_user_model()
    try:
        return model._default_manager.get_by_natural_key(username)
    except model.DoesNotExist:
        raise CommandError(f"There is no user {username!r}.") from None
