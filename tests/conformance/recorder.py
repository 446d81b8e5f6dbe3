"""What the callbacks of a server were called with, for the client to read."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse


class Recorder:
    """A list of calls that is emptied by reading it."""

    def __init__(self) -> None:
        self._calls: list[Any] = []

    def add(self, call: Any) -> None:
        self._calls.append(call)

    async def view(self, request: HttpRequest) -> JsonResponse:
        calls, self._calls = self._calls, []
        return JsonResponse(calls, safe=False)


after_calls = Recorder()
hook_calls = Recorder()
