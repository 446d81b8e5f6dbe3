"""The users of a bench server that lets in nobody else."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

NAMES = ("alice", "bob", "root")


def create_users() -> None:
    """Have all of them in the database; several processes may do so at once."""
    from django.contrib.auth.models import User

    for name in NAMES:
        rights = {"is_staff": name == "root", "is_superuser": name == "root"}
        User.objects.get_or_create(username=name, defaults=rights)


async def by_name(request: HttpRequest) -> Any:
    """An AUTHENTICATION callable: whoever a bearer token names."""
    from django.contrib.auth.models import User

    scheme, _, name = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or name not in NAMES:
        return None
    return await User.objects.aget(username=name)
