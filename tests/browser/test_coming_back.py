"""Conversations that are left and found again: by reloading, switching, closing the tab."""

from urllib.parse import urlsplit

import pytest

from . import writing
from .visitor import Visitor, expect


@pytest.fixture
def visitor(visit, unhurried) -> Visitor:
    """Somebody who comes for the first time to where answers can be held."""
    return visit(unhurried)


def expect_whole_answer_once(visitor: Visitor):
    expect(visitor.answers.last).to_contain_text(writing.LAST_WORDS)
    visitor.wait_for_end()
    expect(visitor.answers).to_have_count(1)
    expect(visitor.page.get_by_role("heading", name=writing.HEADLINE, exact=True)).to_have_count(1)
    assert visitor.answers.inner_text().count(writing.LAST_WORDS) == 1


def test_reload__history_of_several_runs(visitor: Visitor):
    """All messages are there again, in order, those of tools included, and nothing is run."""
    visitor.open()
    visitor.ask("Add buy milk")
    visitor.say("Make the page violet")
    expect(visitor.answers).to_have_count(4)
    visitor.wait_for_end()
    visitor.ask("What's open?")
    before = visitor.conversation()
    assert len(before) == 8
    runs = len(visitor.runs())

    visitor.page.evaluate("localStorage.removeItem('demo.look')")
    visitor.reload()

    expect(visitor.messages).to_have_count(8)
    visitor.expect_conversation(before)
    assert len(visitor.runs()) == runs
    # The old tool call is shown, not done again.
    expect(visitor.page.locator("html")).to_have_attribute("data-accent", "teal")


def test_reload__approval_is_pending(visitor: Visitor):
    """The question is there again, and answering it works."""
    visitor.open()
    visitor.ask("Add buy milk")
    visitor.say("Delete milk")
    expect(visitor.approval).to_be_visible()

    visitor.reload()

    expect(visitor.approval).to_contain_text("Delete “Buy milk”?")
    visitor.approval.get_by_role("button", name="Delete").click()
    expect(visitor.answers.last).to_contain_text("Deleted “Buy milk”.")
    expect(visitor.todos).to_have_count(0)


def test_stop__then_a_further_run(visitor: Visitor, unhurried):
    """What came before the stop stays, the next message is answered, and both outlive a reload."""
    visitor.open("/?agent=writer")
    with unhurried.held():
        visitor.say(writing.QUESTION)
        expect(visitor.answers).to_contain_text("Three reasons to care")

        visitor.stop_button.click()
        visitor.wait_for_end()
    expect(visitor.answers).not_to_contain_text(writing.LAST_WORDS)
    visitor.ask("A short email about lighthouses")
    before = visitor.conversation()
    assert len(before) == 4

    visitor.reload()

    expect(visitor.messages).to_have_count(4)
    visitor.expect_conversation(before)
    assert len(visitor.runs("writer")) == 2


def test_switching_threads__while_a_run_streams(visitor: Visitor, unhurried):
    """The other conversation is shown alone; coming back, the answer goes on and is whole."""
    visitor.open("/?agent=writer")
    visitor.ask("A short poem about rain")
    visitor.page.get_by_role("button", name="New conversation").click()
    expect(visitor.messages).to_have_count(0)

    with unhurried.held():
        visitor.say(writing.QUESTION)
        expect(visitor.answers).to_contain_text(writing.HEADLINE)
        visitor.thread("A short poem about rain").get_by_role("button").first.click()
        expect(visitor.page.get_by_role("heading", name="Rain", exact=True)).to_be_visible()
        expect(visitor.messages).to_have_count(2)
        expect(visitor.answers).not_to_contain_text(writing.HEADLINE)
        visitor.thread(writing.QUESTION).get_by_role("button").first.click()

        expect(visitor.stop_button).to_be_visible()
    expect_whole_answer_once(visitor)
    expect(visitor.messages).to_have_count(2)


def test_closed_tab__while_a_run_streams(visitor: Visitor, unhurried):
    """The run goes on without the tab, and another tab finds the whole answer."""
    visitor.open("/?agent=writer")
    with unhurried.held():
        visitor.say(writing.QUESTION)
        expect(visitor.answers).to_contain_text(writing.HEADLINE)
        address = urlsplit(visitor.page.url)

        visitor.page.close()
    visitor.new_tab()
    visitor.open(f"/?{address.query}")

    expect_whole_answer_once(visitor)
    assert len(visitor.runs("writer")) == 1
