"""The websocket routes, for `copilotkit_django.asgi.get_asgi_application` or a Channels router.

::

    from copilotkit_django.asgi import get_asgi_application
    from copilotkit_django.routing import websocket_urlpatterns

    application = get_asgi_application(websocket_urlpatterns)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from channels.routing import URLRouter
from django.urls import Resolver404, URLPattern, path

from copilotkit_django.consumers import ConnectConsumer, RealtimeConsumer
from copilotkit_django.runtime import Runtime, get_runtime

#: Where the sockets of the default endpoint are.
PREFIX = "ws/copilotkit/"


def patterns_for(
    find_runtime: Callable[[], Runtime] = get_runtime, prefix: str = PREFIX
) -> list[URLPattern]:
    """The websocket patterns of an endpoint below a prefix that ends with a slash.

    For a `Runtime` of your own: ``patterns_for(lambda: support, "ws/support/")``.
    """
    connect: Any = ConnectConsumer.as_asgi(find_runtime=find_runtime)
    realtime: Any = RealtimeConsumer.as_asgi(find_runtime=find_runtime)
    # The client adds the last part itself.
    realtime.copilotkit_realtime = (find_runtime, f"/{prefix}realtime")
    return [
        path(f"{prefix}agent/<str:agent_id>/connect/", connect, name="connect"),
        path(f"{prefix}realtime/websocket", realtime, name="realtime"),
    ]


websocket_urlpatterns = patterns_for()


class WebsocketRoutes:
    """Takes websockets to their consumers by path, and refuses those that are for none.

    Channels' router raises an error for these, which servers log with a traceback.
    """

    def __init__(self, patterns: Sequence[URLPattern]) -> None:
        self._patterns = patterns
        routes: Any = list(patterns)
        self._router: Any = URLRouter(routes)
        #: Endpoints whose live thread lists are served here, and where.
        self.realtime = [
            pattern.callback.copilotkit_realtime
            for pattern in patterns
            if hasattr(pattern.callback, "copilotkit_realtime")
        ]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        root_path = scope.get("root_path", "")
        path = scope["path"]
        if path.startswith(root_path) and self._leads_somewhere(path[len(root_path) :]):
            await self._router(scope, receive, send)
        elif (await receive())["type"] == "websocket.connect":
            await send({"type": "websocket.close"})

    def _leads_somewhere(self, path: str) -> bool:
        return any(_matches(pattern, path.lstrip("/")) for pattern in self._patterns)


def _matches(pattern: URLPattern, path: str) -> bool:
    try:
        return bool(pattern.pattern.match(path))
    except Resolver404:
        return False
