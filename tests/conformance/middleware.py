"""The request middleware of the `middleware` profile."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from copilotkit_django.after import AfterRequest
from copilotkit_django.hooks import ShortCircuit, with_headers

from .recorder import after_calls


class MiddlewareFailure(Exception):
    """What the middleware raises on purpose."""


async def before_request(request: HttpRequest) -> HttpRequest | None:
    match request.headers.get("x-mw"):
        case "throw-response":
            headers = {"retry-after": "7"}
            raise ShortCircuit(JsonResponse({"error": "blocked"}, status=429, headers=headers))
        case "throw-error":
            raise MiddlewareFailure("middleware failure")
        case "replace":
            return with_headers(request, {"x-tenant": "mw"})
    return None


async def after_request(after: AfterRequest) -> None:
    after_calls.add(
        {
            "path": after.path,
            "status": after.response.status_code,
            "threadId": after.thread_id,
            "runId": after.run_id,
            "messages": after.messages,
        }
    )
    if after.path.endswith("/threads"):
        raise MiddlewareFailure("after failure")
