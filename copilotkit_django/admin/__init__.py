"""Threads and runs in Django's admin: to look at, and to stop, archive, export and delete.

Rows are read here; whatever changes something goes through the runner of the default runtime.
"""

from copilotkit_django.admin.runs import RunAdmin
from copilotkit_django.admin.threads import ThreadAdmin

__all__ = ["RunAdmin", "ThreadAdmin"]
