from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CopilotKitConfig(AppConfig):
    name = "copilotkit_django"
    label = "copilotkit"
    verbose_name = _("CopilotKit")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from copilotkit_django import (  # noqa: F401 - they register themselves
            checks,
            merging,
            origins,
            sessions,
        )
