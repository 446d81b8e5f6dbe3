"""Runs that are no turn of a conversation: suggestions, requests of apps on the page."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator

from copilotkit_django.runners.base import RunRequest
from copilotkit_django.runners.log import Batch
from copilotkit_django.runners.task import RunTask


class Aside(AsyncIterator[Batch]):
    """A reader of a run outside of the runner; the agent is cancelled when the reader goes away.

    Nothing is stored and no thread is held. A place among live runs is kept for it until it is
    read; one that never is gives it back when nobody has it any more.
    """

    def __init__(self, request: RunRequest) -> None:
        self._batches = _batches(request)
        if request.slot is not None:
            weakref.finalize(self, request.slot.settle)

    async def __anext__(self) -> Batch:
        return await anext(self._batches)

    async def aclose(self) -> None:
        await self._batches.aclose()


async def _batches(request: RunRequest) -> AsyncGenerator[Batch]:
    # Started here and not before: a reader that is never read has no end that could cancel it.
    task = RunTask(request, echo=False)
    task.start()
    try:
        async for batch in task.log.read(idle=request.policy.idle):
            yield batch
    finally:
        task.cancel()
