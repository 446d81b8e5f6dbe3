"""The request middleware of the `middleware` profile."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from copilotkit_django.hooks import ShortCircuit, with_headers


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
