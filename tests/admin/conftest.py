from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.test import Client

from copilotkit_django.runners.database import DatabaseRunner


@pytest.fixture
def staff(db) -> Callable[..., Client]:
    """Sign in somebody who may look at threads and runs, and do what else is named."""

    def sign_in(*permissions: str) -> Client:
        client = Client()
        client.force_login(staff_user(*permissions))
        return client

    return sign_in


def staff_user(*permissions: str) -> User:
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    names = ("view_thread", "view_run", *permissions)
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


@pytest.fixture
def runner(transactional_db, settings) -> Iterator[DatabaseRunner]:
    """The runner of the default endpoint, on the test's database."""
    runner = DatabaseRunner(lease_seconds=5)
    settings.COPILOTKIT = {**settings.COPILOTKIT, "RUNNER": runner}
    yield runner
    async_to_sync(runner.drain)()


def page(client: Any, url: str) -> str:
    """The HTML at an address that answers 200."""
    response = client.get(url)
    assert response.status_code == 200, (url, response.status_code)
    return response.content.decode()
