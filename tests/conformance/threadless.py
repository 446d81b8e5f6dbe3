"""A runner that keeps threads but does not list them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from copilotkit_django.runners import AgentRunner
from copilotkit_django.runners.base import RunRequest, ThreadRef
from copilotkit_django.runners.log import Batch


class Threadless(AgentRunner):
    """Another runner without its thread store: the `/threads` routes answer 422."""

    threads = None

    def __init__(self, runner: AgentRunner) -> None:
        self._runner = runner

    async def run(self, request: RunRequest) -> AsyncIterator[Batch]:
        return await self._runner.run(request)

    async def connect(self, thread: ThreadRef, **options: Any) -> AsyncIterator[Batch]:
        return await self._runner.connect(thread, **options)

    async def stop(self, thread: ThreadRef, run_id: str | None = None) -> bool:
        return await self._runner.stop(thread, run_id)

    async def is_running(self, thread: ThreadRef) -> bool:
        return await self._runner.is_running(thread)
