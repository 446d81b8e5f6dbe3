"""A project with Django REST framework whose callers bring tokens; fails if one is misjudged.

Its apps are not those of the test suite, so it runs in a process of its own:
python -m tests.docs.drf_project
"""

from __future__ import annotations

import asyncio

import django
from django.conf import settings

SECTION = "A token of Django REST framework"


def main() -> None:
    settings.configure(
        SECRET_KEY="drf",
        ALLOWED_HOSTS=["testserver"],
        USE_TZ=True,
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "rest_framework.authtoken",
            "copilotkit_django",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        ROOT_URLCONF="tests.docs.drf_urls",
    )
    django.setup()
    asyncio.run(check())


async def check() -> None:
    from asgiref.sync import sync_to_async
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from rest_framework.authtoken.models import Token

    from copilotkit_django.runtime import get_runtime
    from tests.acting import Staged
    from tests.integration.site import Caller
    from tests.talk import run_input

    from .pages import Page

    await sync_to_async(call_command)("migrate", verbosity=0)
    ada = await User.objects.acreate_user("ada")
    token = await Token.objects.acreate(user=ada)
    project = Page("how-to/authentication.md").project(SECTION)
    agent = Staged()
    agent.cue.set()
    settings.COPILOTKIT = {
        **project.settings["COPILOTKIT"],
        "AGENTS": {"default": agent},
        "RUNNER": "copilotkit_django.runners.InMemoryRunner",
    }
    caller = Caller()

    assert (await caller.run(run_input())).status == 401
    assert (await caller.run(run_input(), authorization="Token wrong")).status == 401
    assert (await caller.run(run_input(), authorization=f"Token {token.key}")).status == 200
    assert agent.contexts[0].user == ada
    await get_runtime().runner.drain()


if __name__ == "__main__":
    main()
