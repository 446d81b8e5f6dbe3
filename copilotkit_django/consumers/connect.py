"""The connect socket: run, follow and stop threads over one websocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs, quote

import orjson
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from copilotkit_django.consumers.protocol import (
    VERSION,
    Command,
    InvalidCommand,
    Malformed,
    events_frame,
    frame,
    parse,
)
from copilotkit_django.consumers.requests import ask, call_view, handshake_of
from copilotkit_django.consumers.sockets import Close, Socket
from copilotkit_django.consumers.window import MAX_BYTES, MAX_FRAMES, Window
from copilotkit_django.events.wire import encode
from copilotkit_django.exceptions import Unauthenticated
from copilotkit_django.hooks import ShortCircuit
from copilotkit_django.identity import identify
from copilotkit_django.operations.call import Call
from copilotkit_django.origins import is_trusted_handshake
from copilotkit_django.responses import EventStreamResponse, JsonAnswer
from copilotkit_django.routes import Envelope, Route
from copilotkit_django.runners.log import Batch, pieces
from copilotkit_django.sessions import session_key_of
from copilotkit_django.tickets import redeem
from copilotkit_django.views import handle
from copilotkit_django.visitors import is_known_visitor
from copilotkit_django.workers import worker_thread

#: Commands of one socket that may be under way at a time.
MAX_COMMANDS = 64

#: A client that acknowledges nothing for so long is cut off; it may come back and resume.
ACK_SECONDS = 60.0

#: How a refused handshake is told: by the status the gate has answered it with.
REFUSALS = {
    401: Close.UNAUTHENTICATED,
    403: Close.FORBIDDEN,
    404: Close.NOT_FOUND,
    429: Close.TOO_OFTEN,
}


class ConnectConsumer(Socket):
    """``ws/copilotkit/agent/<agent_id>/connect/``: the operations of HTTP over one socket.

    Each command is a request of its own to the gate, with the headers of the handshake or those
    its ticket stands for, so that identity, hooks and limits are asked anew. The frames are
    described in docs/reference/websocket.md.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._window = Window()
        #: What the commands under way are doing, by the ids the client has given them.
        self._commands: dict[str, asyncio.Task[None]] = {}
        #: The scope of whoever opened the socket.
        self._caller = ""

    @property
    def _agent_id(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["agent_id"])

    async def connect(self) -> None:
        self._runtime = self._find_runtime()
        self._asking: dict[str, Any] = dict(self.scope)
        ticket = _ticket(self.scope.get("query_string", b""))
        if ticket is not None:
            self.start(self._open_with(ticket))
        elif is_trusted_handshake(handshake_of(self.scope), self._runtime.options):
            self.start(self._open())
        else:
            # Not told why: the page that asks may not even know that there is a socket.
            await self.close()

    async def _open_with(self, ticket: str) -> None:
        async with worker_thread():
            headers = await redeem(ticket)
        if headers is None:
            await self.turn_away(Close.UNAUTHENTICATED)
            return
        self._asking["headers"] = headers
        await self._open()

    async def _open(self) -> None:
        session: list[str | None] = []

        async def look(call: Call, envelope: Envelope, request: HttpRequest) -> HttpResponseBase:
            _refuse_unknown(call, request)
            # An agent that is not there is found out here, before anything is sent.
            await call.agent(self._agent_id)
            self._caller = call.scope
            session.append(await session_key_of(request, call.user))
            return HttpResponse(status=204)

        route = Route("websocket/open", agent_id=self._agent_id, http_method="GET")
        answer = await ask(self._runtime, self._asking, self.scope["path"], route, look)
        if answer.status_code >= 500:
            await self.turn_away(Close.FAILED)
        elif not session or answer.status_code >= 400:
            await self.turn_away(REFUSALS.get(answer.status_code, Close.FORBIDDEN))
        else:
            checked = self._runtime.options.authentication != "anonymous-shared"
            await self.opened(session[0], checked=checked)
            await self.put(
                frame("ready", protocol=VERSION, window={"frames": MAX_FRAMES, "bytes": MAX_BYTES})
            )

    async def is_still_known(self) -> bool:
        options = self._runtime.options
        same: bool | None = None

        async def look(request: HttpRequest) -> HttpResponseBase:
            nonlocal same
            try:
                same = (await identify(request, options)).scope == self._caller
            except (Unauthenticated, ShortCircuit):
                same = False
            return HttpResponse(status=204)

        answer = await call_view(self._asking, self.scope["path"], look, method="GET")
        # A database that is away for a moment says nothing about who somebody is.
        return answer.status_code >= 500 if same is None else same

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self._is_open:
            return
        if text_data is not None and len(text_data) > self._runtime.options.max_body_bytes:
            self.start(self.shut(Close.TOO_LARGE))
            return
        try:
            command = parse(text_data)
        except Malformed:
            self.start(self.shut(Close.MALFORMED))
        except InvalidCommand as error:
            self._refuse(error.id, 400, "invalid_command", str(error))
        else:
            self._begin(command)

    def _begin(self, command: Command) -> None:
        if command.type == "ping":
            self._answer(frame("pong", command.id or None))
        elif command.type == "ack":
            if not self._window.acknowledge(command.fields["frame"]):
                self._refuse(None, 400, "invalid_command", "No such frame was sent yet.")
        elif command.type == "leave":
            # One that has just ended needs no answer.
            task = self._commands.get(command.id)
            if task is not None:
                task.cancel()
        elif command.id in self._commands:
            # Without its id, which is that of the command under way.
            self._refuse(None, 409, "id_in_use", f"A command {command.id!r} is under way.")
        elif len(self._commands) >= MAX_COMMANDS:
            self._refuse(command.id, 429, "too_many_commands", "Wait for one of them to end.")
        else:
            task = self._commands[command.id] = self.start(self._do(command))
            task.add_done_callback(lambda done: self._ended(command.id, done))

    def _ended(self, command_id: str, task: asyncio.Task[None]) -> None:
        del self._commands[command_id]
        if task.cancelled() and self._is_open:
            self._answer(frame("end", command_id, left=True))

    def _answer(self, answer: bytes) -> None:
        self.start(self.put(answer))

    def _refuse(self, command_id: str | None, status: int, error: str, message: str) -> None:
        body = {"error": error, "message": message}
        self._answer(frame("error", command_id, status=status, body=body))

    async def _do(self, command: Command) -> None:
        operation, body, route = self._route(command)
        path = self.scope["path"].rstrip("/").removesuffix("/connect") + f"/{operation}"
        answer = await ask(self._runtime, self._asking, path, route, _handle_known, body)
        if isinstance(answer, EventStreamResponse):
            await self._stream(command.id, answer.batches)
        elif answer.status_code < 400:
            await self.put(frame("result", command.id, body=_body(answer)))
        else:
            retry = answer.headers.get("Retry-After")
            await self.put(
                frame(
                    "error",
                    command.id,
                    status=answer.status_code,
                    body=_body(answer),
                    retryAfter=int(retry) if retry and retry.isdigit() else None,
                )
            )
            if answer.status_code == 401:
                self.start(self.shut(Close.UNAUTHENTICATED))

    def _route(self, command: Command) -> tuple[str, bytes, Route]:
        """The operation a command asks for: its path, its body and its route."""
        fields, agent = command.fields, self._agent_id
        thread_id = fields.get("threadId")
        query = {"after": fields.get("after", "")}
        if command.type == "stop":
            operation = f"stop/{_quoted(fields['threadId'])}"
            body = encode({"runId": fields["runId"]}) if "runId" in fields else b""
        elif command.type == "connect":
            operation, body = "connect", encode(_connect_input(fields["threadId"]))
        else:
            operation, body = "run", encode(fields["input"])
        route = Route(
            f"agent/{command.type}",
            agent_id=agent,
            thread_id=thread_id if command.type == "stop" else None,
            path=f"/agent/{_quoted(agent)}/{operation}",
            http_method="POST",
            query=query,
        )
        return operation, body, route

    async def _stream(self, command_id: str, batches: AsyncIterator[Batch]) -> None:
        async with aclosing(batches) as reader:  # type: ignore[type-var]
            async for batch in reader:
                # A run that is over comes whole, however much it is.
                for piece in pieces(batch):
                    if not await self._window.room(ACK_SECONDS):
                        self.start(self.shut(Close.TOO_SLOW))
                        return
                    size = sum(map(len, piece))
                    await self.put(events_frame(self._window.take(size), command_id, piece))
        await self.put(frame("end", command_id))


def _refuse_unknown(call: Call, request: HttpRequest) -> None:
    """A browser that has no cookie of ours would be somebody else with each command."""
    if not is_known_visitor(request, call.scope):
        raise Unauthenticated("Ask for /info first and keep the cookie it sets.")


async def _handle_known(call: Call, envelope: Envelope, request: HttpRequest) -> HttpResponseBase:
    _refuse_unknown(call, request)
    return await handle(call, envelope, request)


def _quoted(id: str) -> str:
    # Half a surrogate pair is no id anybody has, and is none that a path can hold.
    return quote(id, safe="", errors="replace")


def _connect_input(thread_id: str) -> dict[str, Any]:
    return {
        "threadId": thread_id,
        "runId": "connect",
        "messages": [],
        "tools": [],
        "context": [],
        "state": {},
        "forwardedProps": {},
    }


def _body(answer: HttpResponseBase) -> Any:
    """What a JSON answer says; of anything else only that it is there."""
    if isinstance(answer, JsonAnswer):
        return orjson.loads(answer.content)
    content = getattr(answer, "content", b"")
    if answer.headers.get("Content-Type", "").startswith("application/json"):
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            pass
    return {"error": f"http_{answer.status_code}"}


def _ticket(query: bytes) -> str | None:
    found = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("ticket")
    return found[0] if found else None
