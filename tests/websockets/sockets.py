"""A client of a websocket, at the border of the ASGI application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from asgiref.testing import ApplicationCommunicator

from tests.talk import SECONDS, Event, run_input

ORIGIN = "http://testserver"


class Closed(AssertionError):
    """The server closed the socket."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class SocketClient(ApplicationCommunicator):
    """Opens a socket as a page of this site would, unless it is told another origin."""

    def __init__(
        self,
        application: Any,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        origin: str | None = ORIGIN,
        scheme: str = "ws",
    ) -> None:
        given = {"host": "testserver", **(headers or {})}
        if origin is not None:
            given["origin"] = origin
        if cookies:
            given["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        super().__init__(
            application,
            {
                "type": "websocket",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "scheme": scheme,
                "path": path,
                "raw_path": path.encode(),
                "query_string": urlencode(query or {}).encode(),
                "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
                "subprotocols": [],
                "server": ("testserver", 80),
                "client": ("127.0.0.1", 1),
            },
        )

    async def shake(self) -> bool:
        """Begin; whether the handshake was accepted."""
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(SECONDS))["type"] == "websocket.accept"

    async def say(self, message: Any) -> None:
        """Send a message: JSON of anything, text as it is, or bytes."""
        if isinstance(message, bytes):
            await self.send_input({"type": "websocket.receive", "bytes": message})
            return
        text = message if isinstance(message, str) else json.dumps(message)
        await self.send_input({"type": "websocket.receive", "text": text})

    async def hear(self) -> Any:
        """The next message. Raises `Closed`."""
        message = await self.receive_output(SECONDS)
        if message["type"] == "websocket.close":
            raise Closed(message.get("code", 1000))
        return json.loads(message["text"])

    async def close_code(self) -> int:
        """The code the server closes with; what it says before that is passed over."""
        try:
            while True:
                await self.hear()
        except Closed as closed:
            return closed.code

    async def leave(self) -> None:
        """Close the socket, as a client does."""
        await self.send_input({"type": "websocket.disconnect", "code": 1001})
        await self.wait(SECONDS)


class Throttle:
    """An application whose server sends nothing while its client does not read.

    Most servers keep the application waiting in ``send`` then.
    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self.reading = asyncio.Event()
        self.reading.set()
        #: How many messages were heard.
        self.heard = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def heard() -> Any:
            message = await receive()
            self.heard += 1
            return message

        async def read(message: Any) -> None:
            await self.reading.wait()
            await send(message)

        await self._application(scope, heard, read)


class Talk(SocketClient):
    """The connect socket of an agent."""

    def __init__(self, application: Any, agent: str = "default", **options: Any) -> None:
        super().__init__(application, f"/ws/copilotkit/agent/{agent}/connect/", **options)

    async def opened(self) -> Talk:
        assert await self.shake()
        assert (await self.hear())["type"] == "ready"
        return self

    async def run(self, id: str, text: str = "hi", **fields: Any) -> None:
        await self.say({"type": "run", "id": id, "input": run_input(text, **fields)})

    async def follow(self, id: str, thread: str = "t1", after: str | None = None) -> None:
        await self.say({"type": "connect", "id": id, "threadId": thread, "after": after})

    async def until_end(self, id: str) -> list[Event]:
        """The events of a command, to its end. Fails for what it is not."""
        events, _ = await self.read(id)
        return events

    async def read(self, id: str) -> tuple[list[Event], list[str | None]]:
        """The events of a command, to its end, and the cursors of its frames."""
        events: list[Event] = []
        cursors: list[str | None] = []
        while (message := await self.hear())["type"] != "end":
            assert message["type"] == "events", message
            assert message["id"] == id
            events += message["events"]
            cursors.append(message.get("cursor"))
            await self.say({"type": "ack", "frame": message["frame"]})
        assert message["id"] == id
        return events, cursors

    async def answer_of(self, message: Any) -> Any:
        await self.say(message)
        return await self.hear()


def resumed(before: list[Event], after: list[Event]) -> list[Event]:
    """What a client of one run has that was cut off and has resumed."""
    if after and after[0].get("name") == "copilotkit.reset":
        return after[1:]
    return before + after
