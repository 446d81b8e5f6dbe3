"""What the page on testing says is so."""

from __future__ import annotations

import pytest

from copilotkit_django import testing

from .pages import DOCS, Page

page = Page("how-to/testing.md", mysite__conftest={}, mysite__agents={})

MODEL, ASKED = "A model that says what you want", "What it was asked"


@pytest.fixture
def llm(monkeypatch):
    """The fixture of the page, as pytest would make it."""
    conftest = page.project(MODEL)["mysite.conftest"]
    yield from conftest.llm.__wrapped__(monkeypatch)


@page(MODEL)
@pytest.mark.parametrize("name", ["test_poet", "test_poet__slow"])
async def test_model(project, llm, name):
    """The tests on the page pass."""
    await getattr(project["mysite.test_agents"], name)(llm)


@page(ASKED)
async def test_asked(project, llm):
    """So does the one that leaves."""
    await project["mysite.test_stop"].test_leaving(llm)


def test_page__complete():
    """Everything one imports is on the page."""
    text = (DOCS / page.path).read_text()
    for_types_only = {"Part", "Prompt", "PromptMessage"}
    elsewhere = {"answered", "entered"}
    told = set(testing.__all__) - for_types_only - elsewhere

    assert [name for name in sorted(told) if name not in text] == []
    assert page.sections == page.tested
