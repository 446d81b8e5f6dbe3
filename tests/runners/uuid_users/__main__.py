"""A project with users of its own, whose keys are no numbers; fails if a thread is not theirs.

The user model of a project is fixed when it starts, so it runs in a process of its own:
python -m tests.runners.uuid_users DATABASE_FILE
"""

from __future__ import annotations

import asyncio
import sys

import django
from django.conf import settings


def main(file: str) -> None:
    settings.configure(
        SECRET_KEY="uuid",
        USE_TZ=True,
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "tests.runners.uuid_users",
            "copilotkit_django",
        ],
        AUTH_USER_MODEL="uuid_users.Person",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": file}},
        COPILOTKIT={},
    )
    django.setup()
    asyncio.run(check())


async def check() -> None:
    from asgiref.sync import sync_to_async
    from django.core.management import call_command

    from copilotkit_django.models import Thread
    from copilotkit_django.runners.database import DatabaseRunner
    from tests.acting import Parrot
    from tests.talk import collect
    from tests.unit.runners.requests import request_for

    from .models import Person

    await sync_to_async(call_command)("migrate", verbosity=0, run_syncdb=True)
    ada = await Person.objects.acreate(username="ada")
    scope = f"user:{ada.pk}"
    runner = DatabaseRunner()
    try:
        request = request_for(Parrot(), scope=scope, thread="mine")
        request.user = ada
        await collect(await runner.run(request))
        await collect(await runner.run(request_for(Parrot(), scope="anon:v", thread="moved")))
        await runner.threads.move("anon:v", scope, user=ada)
    finally:
        await runner.drain()
    owned = [name async for name in ada.copilotkit_threads.values_list("thread_id", flat=True)]
    assert sorted(owned) == ["mine", "moved"], owned
    await ada.adelete()
    assert await Thread.objects.acount() == 0


if __name__ == "__main__":
    main(sys.argv[1])
