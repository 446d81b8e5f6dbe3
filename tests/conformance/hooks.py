"""The hooks of the `hooks` profiles: what they do is chosen by headers of the request."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from copilotkit_django.hooks import ShortCircuit, copilotkit, with_headers
from copilotkit_django.routes import Route

from .recorder import hook_calls


class HookFailure(Exception):
    """What a hook raises on purpose."""


class RecordingHooks:
    async def on_request(self, request: HttpRequest) -> HttpRequest | None:
        hook_calls.add(["onRequest", copilotkit(request).path, request.method])
        match request.headers.get("x-hook"):
            case "request-throw-response":
                headers = {"www-authenticate": "Bearer"}
                raise ShortCircuit(JsonResponse({"error": "denied"}, status=401, headers=headers))
            case "request-throw-error":
                raise HookFailure("hook failure")
            case "request-replace":
                return with_headers(request, {"x-tenant": "replaced"})
        return None

    async def on_before_handler(self, request: HttpRequest, route: Route) -> HttpRequest | None:
        hook_calls.add(["onBeforeHandler", route.as_dict()])
        match request.headers.get("x-hook"):
            case "before-throw-response":
                body = {"error": "forbidden", "route": route.as_dict()}
                raise ShortCircuit(JsonResponse(body, status=403))
            case "before-throw-error":
                raise HookFailure("before failure")
            case "before-replace":
                return with_headers(request, {"x-tenant": "before"})
        return None

    async def on_response(
        self, request: HttpRequest, response: HttpResponseBase, route: Route
    ) -> HttpResponseBase:
        hook_calls.add(["onResponse", route.as_dict(), response.status_code])
        match request.headers.get("x-hook"):
            case "response-throw-error":
                raise HookFailure("response hook failure")
            case "response-throw-response":
                raise ShortCircuit(HttpResponse("swapped", status=418, content_type="text/plain"))
        response["x-hooked"] = route.method
        return response

    async def on_error(
        self, request: HttpRequest, error: Exception, route: Route | None
    ) -> HttpResponseBase | None:
        hook_calls.add(["onError", str(error), route.as_dict() if route else None])
        match request.headers.get("x-on-error"):
            case "custom":
                return JsonResponse({"error": "custom", "message": str(error)}, status=503)
            case "throw":
                raise HookFailure("on_error failed")
        return None
