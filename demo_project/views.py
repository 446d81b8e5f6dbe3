from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from copilotkit_django.identity import identify
from copilotkit_django.runtime import get_runtime
from demo_project.agents.model import model_agent, model_name
from demo_project.agents.todo_tools import state

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

AGENTS: list[dict[str, Any]] = [
    {
        "id": "default",
        "name": "To-dos",
        "hint": "Keeps a list, asks before it deletes, paints this page",
        "welcome": "What do you have to do?",
        "placeholder": "Add buy milk, call Ada…",
        "menu": ["What's open?", "Delete done", "Make the page green", "Help"],
        "keepsTodos": True,
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

STUDIO = {
    "id": "studio",
    "name": "Studio",
    "hint": "Draws apps, forms and pages",
    "welcome": "What shall I draw?",
    "placeholder": "Roll two dice, book a table, draw a clock…",
    "menu": ["Roll two dice", "Book a table", "Draw a clock", "Help"],
}

#: What is drawn runs in frames, and a policy holds there as well: theirs are scripts of the page's
#: own text. So the studio has a page of its own, and the others keep the strict policy.
STUDIO_POLICY = CONTENT_SECURITY_POLICY.replace(
    "default-src 'self'", "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'"
)


def agents() -> list[dict[str, Any]]:
    """The agents as the page shows them; one more where there is a key for a model."""
    if model_agent() is None:
        return AGENTS
    name = model_name()
    return [
        *AGENTS,
        {
            "id": "model",
            "name": "Model",
            "hint": f"{name}, with the tools of the to-do list",
            "welcome": "Plan something with me.",
            "placeholder": "What should I do first?",
            "menu": ["Plan a dinner for four", "What should I do first?", "Tidy up my list"],
            "notice": f"Answers come from {name}. They can be wrong.",
            "keepsTodos": True,
        },
    ]


def account(request: HttpRequest, user: Any) -> dict[str, str]:
    """What the page needs to sign somebody in, or whoever is signed in out."""
    if user is None:
        return {"signIn": reverse("sign-in")}
    name, token = user.get_username(), get_token(request)
    return {"name": name, "signOut": reverse("sign-out"), "token": token}


@require_safe
async def page(request: HttpRequest) -> HttpResponse:
    """The page of most of the demo."""
    shown = [*agents(), {**STUDIO, "href": reverse("studio")}]
    return await _page(request, shown, "api/copilotkit", CONTENT_SECURITY_POLICY)


@require_safe
async def studio_page(request: HttpRequest) -> HttpResponse:
    """The page of the agent that draws."""
    home = reverse("page")
    elsewhere = [{**agent, "href": f"{home}?agent={agent['id']}"} for agent in agents()]
    return await _page(request, [*elsewhere, STUDIO], "api/studio", STUDIO_POLICY)


async def _page(
    request: HttpRequest, shown: list[dict[str, Any]], endpoint: str, policy: str
) -> HttpResponse:
    identity = await identify(request, get_runtime().options)
    config = {
        "runtimeUrl": f"{reverse('page')}{endpoint}",
        "agents": shown,
        "state": await sync_to_async(state)(identity.scope),
        "account": account(request, identity.user),
    }
    response = render(request, "demo/page.html", {"config": config})
    response["Content-Security-Policy"] = policy
    # The cookie comes with the page: its first requests leave at the same time, and without
    # one each of them would be a new visitor.
    identity.remember(response)
    return response
