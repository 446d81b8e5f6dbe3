from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

NAME = PASSWORD = "admin"  # noqa: S105


class Command(BaseCommand):
    help = "Create the superuser admin/admin, so that the demo's admin site can be looked at."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "A user whose password is public belongs to the local demo only (DJANGO_DEBUG=1)."
            )
        users = get_user_model()._default_manager
        if users.filter(username=NAME).exists():
            self.stdout.write(f"The user {NAME!r} exists already and was left as it is.")
            return
        users.create_superuser(username=NAME, email="", password=PASSWORD)
        self.stdout.write(
            self.style.WARNING(
                f"Created the superuser {NAME} with the password {PASSWORD}, for /admin/ of this "
                "demo. Everybody knows it: never run this command on a reachable site."
            )
        )
