"""Middleware of a project."""

from __future__ import annotations

from django.http import JsonResponse


def closed_for_stops(get_response):
    async def middleware(request):
        if "/stop/" in request.path:
            return JsonResponse({"error": "closed"}, status=503)
        return await get_response(request)

    from asgiref.sync import markcoroutinefunction

    return markcoroutinefunction(middleware)


closed_for_stops.async_capable = True
closed_for_stops.sync_capable = False
