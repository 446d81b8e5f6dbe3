"""The socket of live thread lists: what the official client joins while a page is open."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import parse_qs

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from copilotkit_django.consumers.phoenix import (
    SOCKET_TOPIC,
    Message,
    NotPhoenix,
    parse,
    push,
    reply,
)
from copilotkit_django.consumers.requests import call_view, handshake_of
from copilotkit_django.consumers.sockets import Close, Socket, logger
from copilotkit_django.exceptions import CopilotKitError
from copilotkit_django.hooks import ShortCircuit
from copilotkit_django.identity import identify
from copilotkit_django.operations.threads import row, timestamp
from copilotkit_django.origins import is_trusted_handshake
from copilotkit_django.realtime import Grant, read_token, still_holds
from copilotkit_django.runners.watch import Overrun, RunActivity, ThreadChange
from copilotkit_django.workers import worker_thread

#: The client asks for its token right after its list: what happened in between is told, too.
LIST_SECONDS = 5.0

#: A client that joins so long after it was given its token has been here before.
FIRST_JOIN_SECONDS = 15.0

#: The client beats every 30 seconds. One that is silent for so long is gone.
SILENT_SECONDS = 100.0

MAX_FRAME = 64 * 1024

#: What a client may send; everything else is answered with an error.
EVENTS = HEARTBEAT, JOIN, LEAVE = ("heartbeat", "phx_join", "phx_leave")


class RealtimeConsumer(Socket):
    """``ws/copilotkit/realtime/websocket``: thread lists that change by themselves.

    Speaks what the official client expects of its hosted service, as far as thread lists and run
    activity go: join the topic of a scope with a token, heartbeats, ``thread_metadata`` and
    ``thread_run_activity``. Whoever joins again is told what has changed since they were given
    their token.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._following: asyncio.Task[None] | None = None
        self._heard = 0.0

    async def connect(self) -> None:
        self._runtime = self._find_runtime()
        self._hear()
        query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        grant = read_token(query.get("join_token", [""])[0])
        handshake = handshake_of(self.scope)
        trusted = is_trusted_handshake(handshake, self._runtime.options, needs_origin=False)
        if grant is None or not trusted or self._runtime.runner.watch is None:
            # Refused like this, the client gives up after some attempts.
            await self.close()
            return
        self._grant: Grant = grant
        self.start(self._open())

    async def _open(self) -> None:
        if not await self._may_come_in():
            await self.close()
            return
        await self.opened(self._grant.session_key, checked=True)

    async def _may_come_in(self) -> bool:
        age = time.time() - self._grant.issued
        if age <= self._runtime.options.realtime_token_seconds:
            return await self._still_holds()
        # The client shows the same token for as long as its page is open. One that is too old is
        # as good as what the cookies say that come along with it.
        return await self._still_holds() and await self._is_identified()

    async def is_still_known(self) -> bool:
        if asyncio.get_running_loop().time() - self._heard > SILENT_SECONDS:
            return False
        try:
            return await self._still_holds()
        except Exception as error:
            # A database that is away for a moment says nothing about who somebody is.
            logger.warning("Who is on a websocket cannot be asked: %r", error)
            return True

    async def _still_holds(self) -> bool:
        async with worker_thread():
            return await still_holds(self._grant)

    async def _is_identified(self) -> bool:
        same = False
        options = self._runtime.options
        if not is_trusted_handshake(handshake_of(self.scope), options):
            return False

        async def look(request: HttpRequest) -> HttpResponseBase:
            nonlocal same
            with suppress(CopilotKitError, ShortCircuit):
                same = (await identify(request, options)).scope == self._grant.scope
            return HttpResponse(status=204)

        await call_view(self.scope, self.scope["path"], look, method="GET")
        return same

    def _hear(self) -> None:
        self._heard = asyncio.get_running_loop().time()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self._is_open:
            return
        self._hear()
        if text_data is not None and len(text_data) > MAX_FRAME:
            self.start(self.shut(Close.TOO_LARGE))
            return
        try:
            message = parse(text_data)
        except NotPhoenix:
            self.start(self.shut(Close.MALFORMED))
        else:
            self.start(self._answer(message))

    async def _answer(self, message: Message) -> None:
        if message.topic == SOCKET_TOPIC:
            known = message.event == HEARTBEAT
            await self.put(reply(message, {}, status="ok" if known else "error"))
        elif message.event == JOIN and message.topic == self._grant.topic:
            # In one go: whoever joins twice at once is told everything once.
            self._leave()
            self._following = self.start(self._follow(message))
        elif message.event == JOIN:
            await self.put(reply(message, {"reason": "unauthorized"}, status="error"))
        elif self._following is None or message.topic != self._grant.topic:
            await self.put(reply(message, {"reason": "unmatched topic"}, status="error"))
        elif message.event == LEAVE:
            self._leave()
            await self.put(reply(message, {}))
            await self.put(push(message.join_ref, message.topic, "phx_close", {}))
        else:
            await self.put(reply(message, {"reason": "unknown event"}, status="error"))

    def _leave(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    async def _follow(self, joined: Message) -> None:
        await self.put(reply(joined, {}))
        watch = self._runtime.runner.watch
        if watch is None:
            return
        grant, join_ref, topic = self._grant, joined.join_ref, joined.topic
        is_back = time.time() - grant.issued > FIRST_JOIN_SECONDS
        news = watch.follow(grant.scope, since=grant.issued - LIST_SECONDS, is_back=is_back)
        try:
            async with aclosing(news) as told:  # type: ignore[type-var]
                async for some in told:
                    for each in some:
                        event, payload = _wire(each)
                        await self.put(push(join_ref, topic, event, payload))
        except Overrun:
            # It comes back, and is told what it has not had.
            self.start(self.shut(Close.TOO_SLOW))


def _wire(told: ThreadChange | RunActivity) -> tuple[str, dict[str, Any]]:
    if isinstance(told, RunActivity):
        return "thread_run_activity", {
            "threadId": told.thread_id,
            "agentId": told.agent_id,
            "runId": told.run_id,
            "eventType": told.event_type,
        }
    payload: dict[str, Any] = {
        "operation": told.operation,
        "threadId": told.thread_id,
        "userId": "",
        "organizationId": "",
        "occurredAt": timestamp(told.moment),
    }
    if told.record is None:
        payload["deleted"] = {"id": told.thread_id}
    else:
        payload["thread"] = row(told.record)
    return "thread_metadata", payload
