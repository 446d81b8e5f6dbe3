"""The HTTP door: one async view that serves every route of an endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from copilotkit_django import realtime, tickets
from copilotkit_django.admission import at_the_view
from copilotkit_django.exceptions import ThreadBusy
from copilotkit_django.gate import pass_through
from copilotkit_django.operations import hosted, recordings, threads
from copilotkit_django.operations import transcribe as speech
from copilotkit_django.operations.aside import Aside
from copilotkit_django.operations.call import Call
from copilotkit_django.operations.connect import connect
from copilotkit_django.operations.info import info
from copilotkit_django.operations.run import run
from copilotkit_django.operations.stop import stop
from copilotkit_django.operations.suggest import suggest
from copilotkit_django.responses import EventStreamResponse, JsonAnswer, single_event
from copilotkit_django.routes import Envelope, Route
from copilotkit_django.runners.log import START, Batch, Cursor
from copilotkit_django.runtime import Runtime
from copilotkit_django.scopes import SHARED_SCOPE
from copilotkit_django.transcription import InvalidTranscriptionRequest
from copilotkit_django.visitors import is_known_visitor

#: Set in an ASGI scope whose synchronous code runs on one of a few long-lived threads.
LONG_LIVED_THREADS = "copilotkit.long_lived_threads"

NOT_CACHED = {"Cache-Control": "no-store, private"}


def endpoint_view(find_runtime: Callable[[], Runtime]) -> Callable[..., Any]:
    """The view of an endpoint, whose runtime is looked up with each request.

    It checks the origin of requests itself, so that the official client needs no CSRF token, and
    who sends them, so that nobody is redirected to a login page.
    """

    async def endpoint(request: HttpRequest, path: str = "") -> HttpResponseBase:
        async with at_the_view(getattr(request, "scope", {})):
            return await pass_through(find_runtime(), request, path, handle)

    endpoint.copilotkit_runtime = find_runtime  # type: ignore[attr-defined]
    return csrf_exempt(login_not_required(transaction.non_atomic_requests(endpoint)))


@dataclass(frozen=True, slots=True)
class Work:
    """An operation to do, as the HTTP door sees it."""

    call: Call
    route: Route
    #: The body of the operation: the request's, or the one in the envelope.
    body: bytes
    request: HttpRequest

    @property
    def agent_id(self) -> str:
        return self.route.agent_id or ""

    @property
    def thread_id(self) -> str:
        return self.route.thread_id or ""


async def handle(call: Call, envelope: Envelope, request: HttpRequest) -> HttpResponseBase:
    """Do what the route says and give the answer its HTTP form."""
    work = Work(call, envelope.route, envelope.content(request.body), request)
    answer = await HANDLERS[envelope.route.method](work)
    return answer if isinstance(answer, HttpResponseBase) else JsonAnswer(answer)


async def _info(work: Work) -> Any:
    realtime_url = realtime.url_for(work.call)
    return await info(work.call, single=work.route.single, realtime_url=realtime_url)


async def _run(work: Work) -> HttpResponseBase:
    try:
        reader = await run(work.call, work.agent_id, work.body)
    except ThreadBusy as busy:
        # The only form of "no" the official client shows.
        reader = single_event({"type": "RUN_ERROR", "message": str(busy), "code": busy.error})
    return await _stream(
        work,
        reader,
        outlives_reader=not isinstance(reader, Aside),
        with_ids=_cursor(work) is not None,
    )


def _cursor(work: Work) -> Cursor | None:
    """Where a reader left off, if it is one that resumes: ``after=`` or ``Last-Event-ID``.

    What is no cursor of ours asks for everything, with cursors.
    """
    query = work.route.query or {}
    text = query.get("after", work.request.META.get("HTTP_LAST_EVENT_ID"))
    return None if text is None else Cursor.parse(text) or START


async def _connect(work: Work) -> HttpResponseBase:
    after = _cursor(work)
    # A client that is told of runs comes back to a thread it already shows.
    only_news = realtime.url_for(work.call) is not None
    reader = await connect(work.call, work.agent_id, work.body, after=after, only_news=only_news)
    return await _stream(work, reader, with_ids=after is not None)


async def _suggest(work: Work) -> HttpResponseBase:
    reader = await suggest(work.call, work.agent_id, work.body)
    return await _stream(work, reader, outlives_reader=False)


async def _stop(work: Work) -> Any:
    return await stop(work.call, work.agent_id, work.thread_id, work.body)


async def _threads(work: Work) -> Any:
    listed = await threads.list_threads(work.call, work.route.query or {})
    if realtime.url_for(work.call) and is_known_visitor(work.request, work.call.scope):
        listed["joinCode"] = realtime.join_code(work.call.scope)
    return listed


async def _thread_messages(work: Work) -> Any:
    return await threads.thread_messages(work.call, work.thread_id)


async def _thread_events(work: Work) -> Any:
    return await threads.thread_events(work.call, work.thread_id)


async def _thread_state(work: Work) -> Any:
    return await threads.thread_state(work.call, work.thread_id)


async def _thread_change(work: Work) -> Any:
    change = threads.delete if work.route.http_method == "DELETE" else threads.update
    return await change(work.call, work.thread_id, work.body)


async def _thread_archive(work: Work) -> Any:
    return await threads.archive(work.call, work.thread_id, work.body)


async def _threads_clear(work: Work) -> HttpResponse:
    await threads.clear(work.call)
    return _nothing()


async def _transcribe(work: Work) -> Any:
    # Without a service it is no use to say what is wrong with the request.
    speech.service(work.call)
    content_type = work.request.META.get("CONTENT_TYPE", "")
    if work.route.single or "application/json" in content_type:
        audio = recordings.from_json(work.body)
    elif "multipart/form-data" in content_type:
        audio = recordings.from_form(work.body, content_type)
    else:
        raise InvalidTranscriptionRequest(
            "Request must be multipart/form-data or application/json with base64 audio"
        )
    return await speech.transcribe(work.call, audio)


async def _inspector_metadata(work: Work) -> HttpResponse:
    return _nothing(NOT_CACHED)


async def _inspector_learning(work: Work) -> HttpResponse:
    return JsonAnswer({"error": "Not found"}, status=404, headers=NOT_CACHED)


async def _debug_events(work: Work) -> HttpResponseBase:
    feed = work.call.endpoint.debug_feed
    is_staff = getattr(work.call.user, "is_staff", False)
    if feed is None or not (is_staff or work.call.scope == SHARED_SCOPE):
        return HttpResponse("Not Found", status=404, content_type="text/plain;charset=UTF-8")
    reader = feed.listen(work.call.endpoint.policy.idle)
    return await _stream(
        work, reader, outlives_reader=False, greeting=b": connected\n\n", keeps=False
    )


async def _memories(work: Work) -> Any:
    hosted.memories()


async def _annotate(work: Work) -> Any:
    hosted.annotate()


async def _subscribe(work: Work) -> Any:
    if not realtime.url_for(work.call):
        hosted.subscribe()
    return JsonAnswer({"joinToken": await realtime.join_token(work.call)}, headers=NOT_CACHED)


async def _ticket(work: Work) -> HttpResponse:
    return JsonAnswer(await tickets.issue(work.call), headers=NOT_CACHED)


def _nothing(headers: dict[str, str] | None = None) -> HttpResponse:
    response = HttpResponse(status=204, headers=headers)
    del response["Content-Type"]
    return response


async def _stream(work: Work, reader: AsyncIterator[Batch], **options: Any) -> EventStreamResponse:
    if not getattr(work.request, "scope", {}).get(LONG_LIVED_THREADS):
        # The request's own thread lives as long as its response, and a database connection that
        # something in the request opened there would be held just as long.
        await sync_to_async(connections.close_all)()
    return EventStreamResponse(reader, **options)


#: What serves each route; what it returns is the answer, or the JSON of it.
HANDLERS: dict[str, Callable[[Work], Awaitable[Any]]] = {
    "info": _info,
    "agent/run": _run,
    "agent/connect": _connect,
    "agent/suggest": _suggest,
    "agent/stop": _stop,
    "transcribe": _transcribe,
    "threads/list": _threads,
    "threads/messages": _thread_messages,
    "threads/events": _thread_events,
    "threads/state": _thread_state,
    "threads/update": _thread_change,
    "threads/archive": _thread_archive,
    "threads/clear": _threads_clear,
    "threads/subscribe": _subscribe,
    "memories/list": _memories,
    "memories/recall": _memories,
    "memories/subscribe": _memories,
    "memories/mutate": _memories,
    "annotate": _annotate,
    "inspector/metadata": _inspector_metadata,
    "inspector/learning": _inspector_learning,
    "cpk-debug-events": _debug_events,
    "websocket/ticket": _ticket,
}
