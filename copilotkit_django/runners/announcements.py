"""Telling the rest of the project what becomes of a run: signals, and one line in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.dispatch import Signal

from copilotkit_django.background import spawn
from copilotkit_django.runners.tokens import tokens_in
from copilotkit_django.workers import worker_thread

if TYPE_CHECKING:
    from copilotkit_django.runners.base import AgentRunner, RunRequest

logger = logging.getLogger("copilotkit.run")


class Announcements:
    """What is said of one run, in order. Costs nothing where nobody listens.

    Belongs to one event loop. ``runner`` owns the run; ``None``: nobody does, and nothing is said.
    """

    __slots__ = ("_last", "_request", "_sender", "_thread_key")

    def __init__(self, runner: AgentRunner | None, request: RunRequest, thread_key: str) -> None:
        self._sender = None if runner is None else type(runner)
        self._request = request
        self._thread_key = thread_key
        self._last: asyncio.Task[None] | None = None

    def send(self, signal: Signal, **more: Any) -> None:
        """Have the receivers called, after those of the signals before. Returns at once."""
        if self._sender is not None and signal.has_listeners(self._sender):
            self._last = spawn(self._send(self._last, signal, more))

    async def _send(
        self, before: asyncio.Task[None] | None, signal: Signal, more: Mapping[str, Any]
    ) -> None:
        if before is not None:
            await asyncio.wait({before})
        request = self._request
        async with worker_thread():
            # Django logs what a receiver raises.
            await signal.asend_robust(
                self._sender,
                thread_id=request.thread.thread_id,
                run_id=request.input.run_id,
                agent_id=request.agent_id,
                scope=request.thread.scope,
                thread_key=self._thread_key,
                user=request.user,
                **more,
            )

    async def heard(self) -> None:
        """Wait until the receivers called so far are through."""
        if self._last is not None:
            await asyncio.wait({self._last})

    def log_end(self, outcome: str, duration: float, usage: Iterable[Mapping[str, Any]]) -> None:
        """The one line an operator gets for each run. Never any of its content."""
        if self._sender is None or not logger.isEnabledFor(logging.INFO):
            return
        ms = round(duration * 1000)
        request = self._request
        logger.info(
            # Ids are the client's choice and may hold line breaks: they are fields, no text.
            "Run %s after %d ms.",
            outcome,
            ms,
            extra={
                "thread_id": request.thread.thread_id,
                "run_id": request.input.run_id,
                "agent_id": request.agent_id,
                "outcome": outcome,
                "ms": ms,
                "tokens": tokens_in(usage),
            },
        )
