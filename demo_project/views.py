from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

#: Styles are the exception: the official client puts some of its own into the page.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

AGENTS = [
    {
        "id": "default",
        "name": "To-dos",
        "title": "To-do assistant",
        "hint": "Keeps your list, asks before it deletes, paints the page.",
        "placeholder": "Add buy milk, what's open, make the page green…",
    },
    {
        "id": "writer",
        "name": "Writer",
        "title": "Writer",
        "hint": "Streams articles, poems, emails and plans.",
        "placeholder": "Write about lighthouses…",
    },
    {
        "id": "remote",
        "name": "Almanac",
        "title": "Almanac",
        "hint": "Knows dates and times. Called over HTTP.",
        "placeholder": "How many days until Christmas?",
    },
]


@require_safe
async def page(request: HttpRequest) -> HttpResponse:
    """The one page of the demo."""
    config = {
        "runtimeUrl": reverse("copilotkit:index"),
        "agents": AGENTS,
        "todos": [],
    }
    response = render(request, "demo/page.html", {"config": config})
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
