"""The official client's part on the socket of live thread lists."""

from __future__ import annotations

from typing import Any

from copilotkit_django import realtime
from tests.talk import Event, until

from .sockets import SocketClient


async def watched(application: Any, token: str) -> None:
    """Wait until those who joined with a token were told what there was; what follows is new."""
    watch, scope = application.runtime.runner.watch, realtime.read_token(token).scope

    def is_up_to_date() -> bool:
        found = [here.scopes[scope] for here in watch._loops.values() if scope in here.scopes]
        watchers = [each for one in found for each in one.watchers]
        return bool(watchers) and not any(each.is_new for each in watchers)

    await until(is_up_to_date)


class Page(SocketClient):
    """A page that shows a list of threads."""

    def __init__(self, application: Any, token: str, **options: Any) -> None:
        query = {"join_token": token, "vsn": "2.0.0"}
        super().__init__(application, "/ws/copilotkit/realtime/websocket", query=query, **options)

    async def opened(self) -> Page:
        assert await self.shake()
        return self

    async def ask(self, topic: str, event: str, payload: Any = None, ref: str = "7") -> Any:
        """What a message is answered; pushes that come before it are passed over."""
        await self.say(["1", ref, topic, event, payload or {}])
        while True:
            join_ref, told_ref, told_topic, told_event, told = await self.hear()
            if told_ref == ref:
                assert (join_ref, told_topic, told_event) == ("1", topic, "phx_reply")
                return told

    async def join(self, code: str) -> Page:
        answer = await self.ask(f"user_meta:{code}", "phx_join")
        assert answer == {"status": "ok", "response": {}}
        return self

    async def told(self, event: str = "thread_metadata") -> Event:
        """The next push of a kind."""
        while True:
            join_ref, ref, _, name, payload = await self.hear()
            assert (join_ref, ref) == ("1", None)
            if name == event:
                return payload

    async def told_until(self, operation: str, event: str = "thread_metadata") -> Event:
        """The next push of an operation."""
        while True:
            payload = await self.told(event)
            if operation in (payload.get("operation"), payload.get("eventType")):
                return payload
