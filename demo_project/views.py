from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from copilotkit_django.identity import identify
from copilotkit_django.runtime import get_runtime
from demo_project.agents import todo

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
        "hint": "Keeps a list, asks before it deletes, paints this page",
        "welcome": "What do you have to do?",
        "placeholder": "Add buy milk, call Ada…",
        "menu": ["What's open?", "Delete done", "Make the page green", "Help"],
    },
    {
        "id": "writer",
        "name": "Writer",
        "hint": "Streams articles, poems, emails and plans",
        "welcome": "What shall I write about?",
        "placeholder": "Write about lighthouses…",
        "menu": ["Write about lighthouses", "A poem about the sea", "Shorter"],
    },
    {
        "id": "remote",
        "name": "Almanac",
        "hint": "Knows dates and times; called over HTTP",
        "welcome": "Which day are you thinking of?",
        "placeholder": "How many days until Christmas?",
        "menu": ["What time is it?", "Which week is it?", "Help"],
    },
]


@require_safe
async def page(request: HttpRequest) -> HttpResponse:
    """The one page of the demo."""
    identity = await identify(request, get_runtime().options)
    config = {
        "runtimeUrl": f"{reverse('page')}api/copilotkit",
        "agents": AGENTS,
        "state": await todo.state(identity.scope),
    }
    response = render(request, "demo/page.html", {"config": config})
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    # The cookie comes with the page: its first requests leave at the same time, and without
    # one each of them would be a new visitor.
    identity.remember(response)
    return response
