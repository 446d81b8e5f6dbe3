"""What a person sees when something fails, and that the conversation goes on."""

import pytest

from . import writing
from .almanac import Almanac
from .demo import Demo
from .visitor import expect


@pytest.fixture(scope="module")
def almanac():
    """What the remote agent of the fragile site talks to."""
    with Almanac() as almanac:
        yield almanac


@pytest.fixture(scope="module")
def fragile(start_demo, almanac) -> Demo:
    """A site for tests to break."""
    return start_demo(DJANGO_SETTINGS_MODULE="tests.browser.settings", DEMO_ALMANAC_URL=almanac.url)


def test_agent_fails__in_the_middle(visit, fragile, almanac):
    """What came of the answer stays, the page says that it failed, and the next one comes."""
    visitor = visit(fragile)
    visitor.open("/?agent=remote")
    almanac.is_failing = True

    visitor.say("Which week is it?")
    expect(visitor.toast).to_contain_text("That did not work.")
    expect(visitor.answers).to_have_text("Let me")
    visitor.wait_for_end()

    almanac.is_failing = False
    expect(visitor.composer).to_be_enabled()
    answer = visitor.ask("And now?")
    expect(answer).to_have_text("Let me see.")
    expect(visitor.toast).to_be_empty()
    expect(visitor.messages).to_have_count(4)


def test_server_dies__in_the_middle(visit, fragile):
    """The page says so and keeps what came; once the server is back, the conversation goes on."""
    visitor = visit(fragile)
    visitor.provokes("network error", "ERR_", "Failed to fetch", "Failed to load")
    visitor.open("/?agent=writer")
    with fragile.held():
        visitor.say(writing.QUESTION)
        expect(visitor.answers).to_contain_text(writing.HEADLINE)

        fragile.kill()
    expect(visitor.toast).to_contain_text("The connection broke off.")
    visitor.wait_for_end()
    expect(visitor.answers).to_contain_text(writing.HEADLINE)

    fragile.start()
    visitor.reload()
    expect(visitor.toast).to_contain_text("The server was interrupted during this answer.")
    visitor.wait_for_end()
    expect(visitor.answers).to_contain_text(writing.HEADLINE)

    answer = visitor.ask("A short email about rain")
    expect(answer).to_contain_text("Subject: Rain")
    expect(visitor.toast).to_be_empty()
    expect(visitor.messages).to_have_count(4)
    before = visitor.conversation()
    visitor.reload()
    expect(visitor.messages).to_have_count(4)
    visitor.expect_conversation(before)


def test_refused_path__single_route(visit):
    """Where only one address of the endpoint gets through, the page works over that one."""
    visitor = visit()
    visitor.provokes("ERR_FAILED.*/info")
    visitor.page.route("**/api/copilotkit/info", lambda route: route.abort())
    visitor.open()

    answer = visitor.ask("Add buy milk")

    expect(answer).to_have_text("Added “Buy milk”.")
    expect(visitor.todos).to_have_count(1)
    expect(visitor.toast).to_be_empty()
    methods = [body["method"] for body in visitor.posted("/api/copilotkit")]
    assert methods[0] == "info"
    assert "agent/run" in methods
    assert visitor.runs() == []
    visitor.reload()
    expect(visitor.messages).to_have_count(3)
    assert len(visitor.listed()) == 1
