"""An AG-UI endpoint in plain Django, without the runtime: what the remote agent talks to.

Any server in any language that answers like this can stand behind `HttpAgent`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from demo_project.agents import almanac, speech
from demo_project.agents.speech import Event

#: How the page names the context entry with the browser's time zone.
TIME_ZONE = "Time zone of the person"

SUGGESTIONS = (
    ("Moon landing", "What weekday was 20 July 1969?"),
    ("Days until Christmas", "How many days until Christmas?"),
    ("Tokyo time", "What time is it in Tokyo?"),
    ("Easter next year", "When is Easter {next_year}?"),
    ("In 100 days", "What is 100 days from now?"),
    ("This week", "Which week is it?"),
)


# No cookie decides anything here, so there is nothing a foreign page could abuse.
@csrf_exempt
@require_POST
async def almanac_endpoint(request: HttpRequest) -> HttpResponseBase:
    """POST a RunAgentInput, get a stream of events."""
    try:
        run_input = json.loads(request.body)
        thread_id, run_id = run_input["threadId"], run_input["runId"]
        messages = run_input["messages"]
        texts = speech.user_texts(messages)
        now = local_time(run_input.get("context") or ())
    except (ValueError, KeyError, TypeError, AttributeError):
        return JsonResponse({"error": "The body is not a RunAgentInput."}, status=400)
    ids = {"threadId": thread_id, "runId": run_id}

    async def events() -> AsyncIterator[Event]:
        yield {"type": "RUN_STARTED", **ids}
        if speech.is_suggestion_run(run_input.get("forwardedProps")):
            reply = speech.suggest(suggestions(now, asked=len(texts) - 1))
        else:
            reply = speech.say(almanac.answer(texts[-1] if texts else "", now))
        async for event in reply:
            yield event
        yield {"type": "RUN_FINISHED", **ids}

    async def frames() -> AsyncIterator[bytes]:
        # Daphne sends the headers together with the first chunk.
        yield b""
        async for event in events():
            yield b"data: " + json.dumps(event).encode() + b"\n\n"

    return StreamingHttpResponse(
        frames(),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
    )


def local_time(context: Any) -> datetime:
    """Now, in the time zone the page reported, if it did."""
    zone = next((entry["value"] for entry in context if entry["description"] == TIME_ZONE), "UTC")
    try:
        # The client sends values as JSON text.
        return timezone.now().astimezone(ZoneInfo(str(zone).strip('"')))
    except (KeyError, ValueError, OSError):
        return timezone.now()


def suggestions(now: datetime, *, asked: int) -> list[tuple[str, str]]:
    """Three questions, other ones after each answer."""
    turned = [SUGGESTIONS[(asked * 3 + offset) % len(SUGGESTIONS)] for offset in range(3)]
    return [(title, message.format(next_year=now.year + 1)) for title, message in turned]
