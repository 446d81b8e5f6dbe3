"""Who owns what happens to a thread: the contract and its implementations."""

from copilotkit_django.runners.base import (
    AgentRunner,
    RunPolicy,
    RunRequest,
    ThreadRecord,
    ThreadRef,
    ThreadStore,
)
from copilotkit_django.runners.log import Batch, RunLog
from copilotkit_django.runners.memory import InMemoryRunner
from copilotkit_django.runners.task import RunTask

__all__ = [
    "AgentRunner",
    "Batch",
    "InMemoryRunner",
    "RunLog",
    "RunPolicy",
    "RunRequest",
    "RunTask",
    "ThreadRecord",
    "ThreadRef",
    "ThreadStore",
]
