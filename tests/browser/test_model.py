"""The fourth agent: a language model with the tools of the to-do list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from copilotkit_django.testing import FakeLLM, Prompt, Text, ToolCall

from .visitor import Visitor, expect

SUGGESTIONS = [{"title": "Tidy up", "message": "Tidy up my list"}]


def assistant(prompt: Prompt) -> Any:
    """What a model would do that has read its prompt."""
    if [tool["name"] for tool in prompt.tools] == ["copilotkitSuggest"]:
        return ToolCall("copilotkitSuggest", {"suggestions": SUGGESTIONS})
    said = prompt.last_user_text
    results = [result.text for result in prompt.tool_results]
    if "dinner" in said and not results:
        titles = ("Buy tomatoes", "Boil pasta")
        return [ToolCall("create_todo", {"title": title}) for title in titles]
    if "dinner" in said:
        return Text("Two things are on your **list** now.")
    if "blue" in said:
        return Text("Blue it is.") if results else ToolCall("setAccent", {"color": "blue"})
    if not results:
        return ToolCall("search_todo", {"where": {"done": False}})
    if "refused" in results[-1]:
        return Text("As you wish.")
    found = json.loads(results[-1])
    if "results" in found:
        return ToolCall("delete_todos", {"ids": [todo["id"] for todo in found["results"]]})
    return Text("All gone.")


@pytest.fixture(scope="module")
def llm() -> Iterator[FakeLLM]:
    with FakeLLM(assistant) as llm:
        yield llm


@pytest.fixture
def visitor(visit, start_demo, llm) -> Visitor:
    """A visitor of a demo with a key in its environment."""
    return visit(start_demo(**llm.environment("openai")))


def test_model__works_on_the_list(visitor: Visitor, llm: FakeLLM):
    """It does what it is asked through the tools, and the page shows what came of it."""
    visitor.open()
    visitor.page.get_by_role("button", name="Model", exact=True).click()
    expect(visitor.page.get_by_text("Answers come from openai/gpt-5-mini.")).to_be_visible()

    answer = visitor.ask("Plan a dinner")

    expect(answer).to_have_text("Two things are on your list now.")
    # The calls of one answer are made side by side.
    expect(visitor.todos).to_have_count(2)
    expect(visitor.todos.filter(has_text="Buy tomatoes")).to_have_count(1)
    expect(visitor.todos.filter(has_text="Boil pasta")).to_have_count(1)
    expect(visitor.page.locator(".chip.called")).to_have_text(["create_todo", "create_todo"])
    expect(visitor.suggestions).to_have_text(["Tidy up"])
    asked = next(prompt for prompt in llm.prompts if prompt.last_user_text == "Plan a dinner")
    offered = {tool["name"] for tool in asked.tools}
    assert asked.model == "gpt-5-mini"
    assert offered >= {"search_todo", "create_todo", "change_todo", "mark_todos", "delete_todos"}
    assert offered >= {"setAccent", "setTheme"}
    visitor.reload()
    expect(visitor.answers.last).to_have_text("Two things are on your list now.")
    expect(visitor.todos).to_have_count(2)


@pytest.mark.parametrize(
    ("button", "said", "left"), [("Delete", "All gone.", 0), ("Keep", "As you wish.", 2)]
)
def test_model__asks_before_deleting(visitor: Visitor, button, said, left):
    """What it deletes is named first, and deleted only with a yes; it learns which it was."""
    visitor.open("/?agent=model")
    visitor.ask("Plan a dinner")

    visitor.say("Delete all of it")
    expect(visitor.approval).to_contain_text("Delete 2 to-dos?")
    expect(visitor.approval).to_contain_text("Boil pasta")
    expect(visitor.todos).to_have_count(2)
    visitor.approval.get_by_role("button", name=button).click()

    expect(visitor.answers.last).to_have_text(said)
    visitor.wait_for_end()
    expect(visitor.approval).to_have_count(0)
    expect(visitor.todos).to_have_count(left)


def test_model__changes_the_page(visitor: Visitor):
    """The tools of the page are its tools, too."""
    visitor.open("/?agent=model")

    visitor.say("Make the page blue")

    expect(visitor.page.locator("html")).to_have_attribute("data-accent", "blue")
    expect(visitor.answers.last).to_have_text("Blue it is.")


def test_model__same_list(visitor: Visitor):
    """One visitor has one list, whoever keeps it."""
    visitor.open()
    visitor.ask("Add buy milk")

    visitor.page.get_by_role("button", name="Model", exact=True).click()
    visitor.ask("Plan a dinner")

    expect(visitor.todos).to_have_count(3)


def test_no_key__no_model(visit, site):
    """Without a key nothing of it is there."""
    visitor = visit(site)
    visitor.open()

    expect(visitor.page.get_by_role("button", name="Almanac", exact=True)).to_be_visible()
    expect(visitor.page.get_by_role("button", name="Model", exact=True)).to_have_count(0)


def test_phone(visit, start_demo, llm):
    """Four agents fit on a phone."""
    visitor = visit(
        start_demo(**llm.environment("openai")),
        viewport={"width": 390, "height": 844},
        is_mobile=True,
        has_touch=True,
    )
    visitor.open("/?agent=model")

    visitor.ask("Plan a dinner")

    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert visitor.page.evaluate(overflow) <= 0
    header = visitor.page.locator(".header")
    for button in header.get_by_role("button").all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
