"""Endpoints that differ in one setting each, and the gate of the gated agent."""

from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from copilotkit_django.runtime import Runtime
from tests.servers.project.agents import gates

small = Runtime(max_body_bytes=1024 * 1024)
hasty = Runtime(body_timeout_seconds=2)
talkative = Runtime(keepalive_seconds=1)
visitors = Runtime(authentication="anonymous")
members = Runtime(authentication="session")
#: With all the routes there are.
generous = Runtime(expose_memory_routes=True)


async def open_gate(request: HttpRequest, thread_id: str, count: int) -> JsonResponse:
    for _ in range(count):
        gates[thread_id].release()
    return JsonResponse({})


urlpatterns = [
    path("api/copilotkit", include("copilotkit_django.urls")),
    path("api/small", small.urls),
    path("api/hasty", hasty.urls),
    path("api/talkative", talkative.urls),
    path("api/visitors", visitors.urls),
    path("api/members", members.urls),
    path("api/generous", generous.urls),
    path("gate/<thread_id>/<int:count>", open_gate),
]
