"""Agents of another CopilotKit runtime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx

from copilotkit_django.agents.base import Event, RunContext
from copilotkit_django.agents.http import HttpAgent, RunRefused, tls
from copilotkit_django.events.pipeline import TERMINAL
from copilotkit_django.events.wire import encode

logger = logging.getLogger("copilotkit.run")

#: Telling the other runtime to stop may take so long: the user waits for it.
STOP_SECONDS = 2.0


class RuntimeAgent(HttpAgent):
    """An agent of another CopilotKit runtime: that of a Mastra server, of another Django project.

    ``url`` is the base path of the runtime, ``agent_id`` what the agent is called there. A runtime
    with one route for everything (``registerCopilotKit`` of Mastra makes such) needs
    ``single_route``. It knows threads by our key of them, which is one owner's alone, unless
    ``own_threads`` is false. As a runtime goes on when its reader is gone, it is told of a stop.

    The other options are those of `HttpAgent`.
    """

    def __init__(
        self,
        url: str,
        agent_id: str,
        *,
        single_route: bool = False,
        own_threads: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(url, own_threads=own_threads, **options)
        self.agent_id = agent_id
        self.single_route = single_route

    @property
    def run_url(self) -> str:
        return self.url if self.single_route else self._route("run")

    def body_for(self, context: RunContext) -> dict[str, Any]:
        body = super().body_for(context)
        return self._envelope("agent/run", body=body) if self.single_route else body

    async def run(self, context: RunContext) -> AsyncIterator[Event]:
        over = False
        try:
            async for event in super().run(context):
                over = event["type"] in TERMINAL
                # A stop makes one up, and the other side has not heard of it yet.
                over = over and not context.stop.is_set()
                yield event
            # The other side has ended the stream, if we have not: Node does so, without a word,
            # where something else runs on the thread. A stop would end that.
            over = over or not context.stop.is_set()
        except RunRefused:
            over = True
            raise
        finally:
            if not over:
                await self._stop(context)

    async def _stop(self, context: RunContext) -> None:
        thread_id = context.thread_key if self.own_threads else context.thread_id
        url, body = self._route("stop", thread_id), {"runId": context.run_id}
        if self.single_route:
            url, body = self.url, self._envelope("agent/stop", threadId=thread_id)
        try:
            async with asyncio.timeout(STOP_SECONDS), httpx.AsyncClient(verify=tls()) as client:
                answer = await client.post(
                    url, content=encode(body), headers=self.headers_for(context)
                )
            if not answer.is_success:
                logger.warning("Agent %r was not stopped: HTTP %s.", self.url, answer.status_code)
        except (httpx.HTTPError, TimeoutError) as error:
            logger.warning("Agent %r was not stopped and may go on: %r", self.url, error)

    def _route(self, *names: str) -> str:
        path = "/".join(quote(name, safe="") for name in (self.agent_id, *names))
        return f"{self.url.rstrip('/')}/agent/{path}"

    def _envelope(self, method: str, body: Any = None, **params: str) -> dict[str, Any]:
        envelope = {"method": method, "params": {"agentId": self.agent_id, **params}}
        return envelope if body is None else {**envelope, "body": body}
