"""Interrupt ids that carry what is needed to go on, and that only their own thread can answer.

A run that asks ends, and its answer may arrive in another process. What the framework needs to go
on travels in the id, signed for the thread: no browser can make one up, or use that of another
owner.
"""

from __future__ import annotations

from typing import Any

from django.core import signing

from copilotkit_django.agents import RunContext

#: Separates these signatures from all others of the project.
SALT = "copilotkit_django.contrib"


class UnknownInterrupt(Exception):
    """An answer to something this thread was never asked."""


def seal(value: Any, context: RunContext) -> str:
    """``value`` (JSON) as an id which `unseal` opens for the same thread only."""
    return signing.dumps(value, salt=_salt(context), compress=True)


def unseal(interrupt_id: str, context: RunContext) -> Any:
    """What was sealed. Raises `UnknownInterrupt` for every other text."""
    try:
        return signing.loads(interrupt_id, salt=_salt(context))
    except signing.BadSignature as error:
        raise UnknownInterrupt("The answer is to a question this thread did not ask.") from error


def _salt(context: RunContext) -> str:
    return f"{SALT}:{context.agent_id}:{context.thread_key}"
