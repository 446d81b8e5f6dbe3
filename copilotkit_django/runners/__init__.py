"""Who owns what happens to a thread: the contract and its implementations."""

from copilotkit_django.runners.base import (
    AgentRunner,
    RunPolicy,
    RunRequest,
    ThreadRef,
)
from copilotkit_django.runners.history import RunRecord, replay
from copilotkit_django.runners.log import Batch, Cursor, RunLog
from copilotkit_django.runners.memory import InMemoryRunner
from copilotkit_django.runners.task import RunTask
from copilotkit_django.runners.threads import (
    MovedThread,
    ThreadQuery,
    ThreadRecord,
    ThreadStore,
)

__all__ = [
    "AgentRunner",
    "Batch",
    "Cursor",
    "InMemoryRunner",
    "MovedThread",
    "RunLog",
    "RunPolicy",
    "RunRecord",
    "RunRequest",
    "RunTask",
    "ThreadQuery",
    "ThreadRecord",
    "ThreadRef",
    "ThreadStore",
    "replay",
]
