"""A runner that keeps conversations in Django's cache, for a day after their last run."""

from collections.abc import AsyncIterator
from typing import Any

from django.core.cache import cache

from copilotkit_django.exceptions import ThreadBusy
from copilotkit_django.runners import AgentRunner, Batch, RunRequest, RunTask, ThreadRef, replay

DAY = 24 * 60 * 60


class CacheRunner(AgentRunner):
    def __init__(self) -> None:
        self._live: dict[str, RunTask] = {}

    async def run(self, request: RunRequest) -> AsyncIterator[Batch]:
        key, idle = request.thread.key, request.policy.idle
        records = await cache.aget(key, [])
        live = self._live.get(key)
        if live is not None and live.is_of(request):
            return live.log.read(idle=idle)
        if live is not None and not request.policy.supersede:
            raise ThreadBusy
        seen = {message_id for record in records for message_id in record.message_ids}
        task = RunTask(request, runner=self, seen=seen.__contains__, on_end=self._ended)
        self._live[key] = task
        if live is not None:
            live.stop()
        task.start()
        return task.log.read(idle=idle)

    async def _ended(self, task: RunTask) -> None:
        key = task.request.thread.key
        if self._live.get(key) is not task:
            return  # superseded: the thread is another run's
        try:
            if not task.failed_silently:
                await cache.aset(key, [*await cache.aget(key, []), task.record()], DAY)
        finally:
            del self._live[key]

    async def connect(self, thread: ThreadRef, **options: Any) -> AsyncIterator[Batch]:
        live = self._live.get(thread.key)  # before the history: it may end meanwhile
        return replay(await cache.aget(thread.key, []), live, **options)

    async def stop(self, thread: ThreadRef, run_id: str | None = None) -> bool:
        live = self._live.get(thread.key)
        return live is not None and run_id in (None, live.run_id) and live.stop()

    async def is_running(self, thread: ThreadRef) -> bool:
        return thread.key in self._live

    async def drain(self) -> None:
        for task in [*self._live.values()]:
            task.cancel()
            await task.wait(2)
