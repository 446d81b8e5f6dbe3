"""Operations of the reference's hosted service that have no counterpart here.

They answer as the reference does without that service, so that clients take the features for what
they are: not there.
"""

from __future__ import annotations

from copilotkit_django.exceptions import Unsupported
from copilotkit_django.operations.threads import MISSING


def memories() -> None:
    """The memory routes, where they are exposed. Raises `Unsupported`."""
    raise Unsupported(MISSING.format("Memory operations require"))


def annotate() -> None:
    """``annotate``. Raises `Unsupported`."""
    raise Unsupported(MISSING.format("annotate requires"))


def subscribe() -> None:
    """``threads/subscribe``. Raises `Unsupported`."""
    raise Unsupported(MISSING.format("Thread operations require"))
