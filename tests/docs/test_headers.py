"""What the page on headers says is so."""

from __future__ import annotations

from tests.acting import Staged
from tests.talk import run_input

from .pages import Page

page = Page("how-to/headers.md")

SENT = {
    "accept-language": "de",
    "authorization": "Bearer x",
    "cookie": "theme=dark",
    "x-accel-buffering": "no",
    "x-amz-id": "1",
    "x-csrftoken": "secret",
    "x-forwarded-for": "10.0.0.1",
    "x-internal-note": "n",
    "x-real-ip": "10.0.0.1",
    "x-request-id": "1",
    "x-tenant": "acme",
    "x-vercel-id": "1",
}


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


async def forwarded(caller, settings) -> set[str]:
    """The names of those headers that reach an agent."""
    agent = Staged()
    agent.cue.set()
    settings.COPILOTKIT = {
        **settings.COPILOTKIT,
        "AGENTS": {"default": agent},
        "AUTHENTICATION": "anonymous-shared",
    }
    answer = await caller.run(run_input(), **SENT)
    assert answer.status == 200
    return set(agent.contexts[0].headers)


@page("Read them")
async def test_agent(project, alice):
    """The agent finds the header of the request that started its run."""
    answer = await alice.run(run_input(), x_tenant="acme")

    [event] = [event for event in answer.events if event["type"] == "CUSTOM"]
    assert event["value"] == "acme"


@page("Read them")
async def test_default(project, nobody, settings):
    """By default these go."""
    assert await forwarded(nobody, settings) == {"authorization", "x-internal-note", "x-tenant"}


@page("Hold some back")
async def test_deny(project, nobody, settings):
    """What is denied does not."""
    assert await forwarded(nobody, settings) == {"x-tenant"}


@page("Name those that go")
async def test_allow(project, nobody, settings):
    """What is named does, and nothing else."""
    assert await forwarded(nobody, settings) == {"accept-language", "x-tenant"}


@page("Name those that go")
async def test_allow__cookie(project, nobody, settings):
    """Even cookies go if they are named."""
    policy = {"allow": ["Cookie"]}
    settings.COPILOTKIT = {**settings.COPILOTKIT, "FORWARD_HEADERS": policy}

    assert await forwarded(nobody, settings) == {"cookie"}


@page("Pass on everything that begins with X-")
async def test_open(project, nobody, settings):
    """Without the built-in list everything that begins with X- does."""
    names = {name for name in SENT if name.startswith("x-")}

    assert await forwarded(nobody, settings) == names | {"authorization"}
