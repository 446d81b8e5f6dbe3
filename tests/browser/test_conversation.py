"""What happens between a message and its answer."""

import re
import time

from . import writing
from .visitor import PATIENCE_MS, Visitor, expect


def expect_longer_answer(visitor: Visitor, than: int):
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while len(visitor.answers.inner_text()) <= than and time.monotonic() < deadline:
        visitor.page.wait_for_timeout(20)
    assert len(visitor.answers.inner_text()) > than


def test_answer__streams_in(visit, unhurried):
    """The words of an answer appear as they come, and the reasoning and the step before them."""
    visitor = visit(unhurried)
    visitor.open("/?agent=writer")

    with unhurried.held(after=5):
        visitor.say(writing.QUESTION)
        expect(visitor.page.get_by_role("button", name="Thinking")).to_be_visible()
        expect(visitor.page.get_by_role("status").filter(has_text="Outline")).to_be_visible()
        unhurried.hold(after=40)
        expect(visitor.answers).to_contain_text("Three reasons to care")
        expect(visitor.page.get_by_role("status").filter(has_text="Draft")).to_be_visible()
        for number in range(50, 100, 10):
            shown = len(visitor.answers.inner_text())
            unhurried.hold(after=number)
            expect_longer_answer(visitor, shown)
        expect(visitor.answers).not_to_contain_text(writing.LAST_WORDS)
    expect(visitor.answers).to_contain_text(writing.LAST_WORDS)
    visitor.wait_for_end()

    expect(visitor.page.get_by_role("button", name=re.compile("^Thought for"))).to_be_visible()
    expect(visitor.page.get_by_role("heading", name=writing.HEADLINE, exact=True)).to_have_count(1)
    expect(visitor.page.get_by_role("cell", name="Teach a friend")).to_be_visible()
    # A table and a code block bring controls of their own.
    assert visitor.unnamed_controls() == []
    assert len(visitor.runs("writer")) == 1


def test_answer__of_the_remote_agent(visitor: Visitor):
    """An agent behind HTTP answers like any other, in the person's time zone."""
    visitor.open("/?agent=remote")

    answer = visitor.ask("What weekday was 20 July 1969?")

    expect(answer).to_contain_text("Sunday")


def test_message__sent_while_an_answer_comes(visit, unhurried):
    """It waits for its turn: nothing is refused, lost or answered out of order."""
    visitor = visit(unhurried)
    visitor.open()
    with unhurried.held(after=12):
        visitor.say("Help")
        expect(visitor.answers).to_contain_text("I keep your to-do list")
        expect(visitor.stop_button).to_be_visible()

        visitor.composer.fill("Add buy milk")
        visitor.composer.press("Enter")

    expect(visitor.answers.last).to_have_text("Added “Buy milk”.")
    visitor.wait_for_end()
    words = visitor.conversation()
    assert [words[0], *words[2:]] == [
        "Help",
        "Add buy milk",
        "create_todo",
        "Added “Buy milk”.",
    ]
    roles = [message["role"] for message in visitor.runs()[1]["messages"]]
    assert roles == ["user", "assistant", "user"]


def test_frontend_tool__changes_the_page(visitor: Visitor):
    """The page does what the agent asks, and reports it in a run that follows by itself."""
    visitor.open()

    visitor.say("Make the page green")
    expect(visitor.page.locator("html")).to_have_attribute("data-accent", "green")
    expect(visitor.answers.last).to_contain_text(re.compile("Done|There you go"))
    visitor.wait_for_end()

    expect(visitor.page.get_by_text("Accent green")).to_have_count(1)
    asked, reported = visitor.runs()
    assert [message["role"] for message in asked["messages"]] == ["user"]
    assert [message["role"] for message in reported["messages"]] == ["user", "assistant", "tool"]
    assert reported["messages"][-1]["content"] == '{"accent":"green"}'
    assert reported["threadId"] == asked["threadId"]
    assert reported["runId"] != asked["runId"]


def test_approval__given(visitor: Visitor):
    """Nothing is deleted before the person agrees; then it is, in the same conversation."""
    visitor.open()
    visitor.ask("Add buy milk and call Ada")

    visitor.say("Delete milk")
    expect(visitor.approval).to_contain_text("Delete “Buy milk”?")
    expect(visitor.todos).to_have_count(2)
    visitor.approval.get_by_role("button", name="Delete").click()

    expect(visitor.answers.last).to_have_text(re.compile("Deleted “Buy milk”."))
    expect(visitor.approval).to_have_count(0)
    expect(visitor.todos).to_have_count(1)
    asked, resumed = visitor.runs()[-2:]
    assert (resumed["threadId"], resumed["runId"]) == (asked["threadId"], asked["runId"])
    (answer,) = resumed["resume"]
    assert answer["status"] == "resolved"
    assert answer["payload"] == {"approved": True}


def test_approval__refused(visitor: Visitor):
    """Everything stays when the person says so."""
    visitor.open()
    visitor.ask("Add buy milk and call Ada")

    visitor.say("Delete everything")
    expect(visitor.approval).to_contain_text("Delete 2 to-dos?")
    visitor.approval.get_by_role("button", name="Keep").click()

    expect(visitor.answers.last).to_contain_text("Alright, everything stays.")
    expect(visitor.approval).to_have_count(0)
    expect(visitor.todos).to_have_count(2)
    assert visitor.runs()[-1]["resume"][0]["status"] == "cancelled"


def test_approval__something_else_said_instead(visitor: Visitor):
    """Saying something else counts as no, and is answered."""
    visitor.open()
    visitor.ask("Add buy milk")
    visitor.say("Delete milk")
    expect(visitor.approval).to_be_visible()

    answer = visitor.ask("Add bread")

    expect(answer).to_contain_text("Added “Bread”.")
    expect(visitor.approval).to_have_count(0)
    expect(visitor.todos).to_have_count(2)


def test_shared_state__panel_follows(visitor: Visitor):
    """The panel shows the agent's state, and ticking an entry off there is a message to it."""
    visitor.open()
    expect(visitor.todos).to_have_count(0)

    visitor.ask("Add buy milk, call Ada and water the plants")
    expect(visitor.todos).to_have_text(
        [re.compile("Buy milk"), re.compile("Call Ada"), re.compile("Water")]
    )
    visitor.todos.filter(has_text="Call Ada").click()

    expect(visitor.answers.last).to_contain_text("Ticked off “Call Ada”.")
    expect(visitor.todos.filter(has_text="Call Ada")).to_be_checked()
    expect(visitor.page.get_by_text("1 of 3 done")).to_be_visible()
    visitor.reload()
    expect(visitor.todos.filter(has_text="Call Ada")).to_be_checked()


def test_suggestions__leave_no_thread_behind(visitor: Visitor):
    """They come before the first message and after each answer; asking is no conversation."""
    visitor.open()

    expect(visitor.suggestions).to_have_text(
        ["Plan a dinner", "What can you do?", "Paint the page blue"]
    )
    expect(visitor.suggestions.first).to_be_enabled()
    assert visitor.listed() == []
    expect(visitor.page.get_by_text("Conversations appear here.")).to_be_visible()

    visitor.suggestions.filter(has_text="What can you do?").click()
    expect(visitor.answers).to_contain_text("I keep your to-do list")
    visitor.wait_for_end()
    expect(visitor.suggestions).to_have_count(3)
    expect(visitor.suggestions.first).to_be_enabled()
    assert [thread["id"] for thread in visitor.listed()] == [visitor.runs()[0]["threadId"]]
    assert len(visitor.posted("/suggest")) == 2
