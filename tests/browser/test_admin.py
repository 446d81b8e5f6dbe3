"""Conversations in the admin, as those who run the site see them."""

import json
import os
import re

import pytest

from tests.admin.many import LONG, id_of

from . import writing
from .demo import Demo
from .visitor import Visitor, expect

#: ADMIN=long fills the site with 100,000 threads and a run of 20,000 events.
IS_LONG = os.environ.get("ADMIN") == "long"
THREADS = 100_000 if IS_LONG else 12_000
EVENTS = 20_000 if IS_LONG else 3_000

FILL = (
    "from tests.admin.many import long_run, many_threads; "
    f"many_threads({THREADS}); long_run({EVENTS})"
)

#: Milliseconds until the whole page had come, and until it was shown.
TIMES = """() => {
    const page = performance.getEntriesByType("navigation")[0];
    return [page.responseEnd - page.requestStart, page.loadEventEnd];
}"""


@pytest.fixture
def kept(start_demo) -> Demo:
    """A site on which nobody has been."""
    return start_demo(DJANGO_SETTINGS_MODULE="tests.browser.unhurried")


@pytest.fixture
def keeper(visit, kept) -> Visitor:
    """A visitor who is also signed in to the admin, in the tab that is open."""
    return signed_in(visit, kept)


def signed_in(visit, site) -> Visitor:
    site.manage("demo_user")
    visitor = visit(site)
    # The admin's pages name no icon, so browsers ask for one where it used to be.
    visitor.provokes("favicon.ico")
    visitor.page.goto(f"{site.url}/admin/")
    visitor.page.get_by_label("Username").fill("admin")
    visitor.page.get_by_label("Password").fill("admin")
    visitor.page.get_by_role("button", name="Log in").click()
    return visitor


def open_thread(visitor: Visitor) -> None:
    """From the admin's first page to the only thread there is."""
    visitor.page.goto(f"{visitor.url}/admin/")
    visitor.page.get_by_role("link", name="Threads", exact=True).first.click()
    visitor.page.locator("#result_list tbody th a").first.click()
    expect(visitor.page.locator(".ck-facts")).to_be_visible()


def expect_no_overflow(visitor: Visitor) -> None:
    assert visitor.page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


def test_conversation__readable(keeper: Visitor, tmp_path):
    """Everything that was said and done stands there, by day, by night and on a phone."""
    keeper.open()
    keeper.ask("Add buy milk and call Ada")
    keeper.ask("Make the page green")
    keeper.say("Delete milk")
    expect(keeper.approval).to_be_visible()
    page = keeper.page

    page.goto(f"{keeper.url}/admin/copilotkit/thread/")
    page.screenshot(path=tmp_path / "threads.png", full_page=True)
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    assert keeper.unnamed_controls() == []

    open_thread(keeper)
    expect(page.locator(".ck-user").first).to_contain_text("Add buy milk and call Ada")
    expect(page.locator(".ck-call").first).to_be_visible()
    expect(page.locator(".ck-state pre")).to_contain_text("Call Ada")
    expect_no_overflow(keeper)
    assert keeper.unnamed_controls() == []
    page.screenshot(path=tmp_path / "conversation.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=tmp_path / "conversation-dark.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path=tmp_path / "conversation-phone.png", full_page=True)
    expect_no_overflow(keeper)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 800})

    page.get_by_role("link", name="Run 1", exact=True).click()
    page.locator(".ck-timeline summary").nth(1).click()
    expect(page.locator(".ck-timeline details[open] pre")).to_contain_text('"type"')
    expect_no_overflow(keeper)
    page.screenshot(path=tmp_path / "timeline.png", full_page=True)
    page.goto(f"{keeper.url}/admin/copilotkit/run/")
    page.screenshot(path=tmp_path / "runs.png", full_page=True)


def test_export__as_a_download(keeper: Visitor):
    """The browser saves a file in which every line is JSON."""
    keeper.open()
    keeper.ask("Add buy milk")
    open_thread(keeper)

    with keeper.page.expect_download() as download:
        keeper.page.get_by_role("button", name="Export as JSON Lines").click()

    file = download.value.path()
    assert download.value.suggested_filename.endswith(".jsonl")
    kinds = [json.loads(line)["kind"] for line in file.read_text().splitlines()]
    assert kinds[:3] == ["thread", "run", "event"]


def test_live_run__stopped_and_deleted(keeper: Visitor, kept: Demo, tmp_path):
    """A run is stopped while it answers; the thread is deleted after one more question."""
    keeper.open()
    keeper.page.get_by_role("button", name="Writer").click()
    with kept.held():
        keeper.say(writing.QUESTION)
        expect(keeper.answers.last).to_contain_text(writing.HEADLINE)
        chat = keeper.page

        keeper.new_tab()
        open_thread(keeper)
        expect(keeper.page.locator(".ck-facts .ck-live")).to_be_visible()
        keeper.page.screenshot(path=tmp_path / "live.png", full_page=True)
        keeper.page.get_by_role("button", name="Stop the live run").click()
        expect(keeper.page.locator(".messagelist")).to_have_text("1 run is being stopped.")
        expect(chat.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    keeper.page.reload()
    expect(keeper.page.locator(".ck-turn .ck-badge")).to_have_text("stopped")

    keeper.page.get_by_role("link", name="Delete", exact=True).click()
    keeper.page.screenshot(path=tmp_path / "delete.png", full_page=True)
    keeper.page.get_by_role("button", name=re.compile("Yes")).click()
    expect(keeper.page.locator(".messagelist")).to_have_text("1 thread deleted.")
    expect(keeper.page.locator("#result_list")).to_have_count(0)


@pytest.mark.timeout(300)
def test_pages__of_a_busy_site(visit, start_demo, tmp_path):
    """Lists, filters, searches, conversations and timelines of very many rows: whole, legible, and
    no wider than the page. What they took is printed."""
    site = start_demo()
    site.manage("shell", "-c", FILL)
    keeper = signed_in(visit, site)
    page = keeper.page
    threads, runs = f"{site.url}/admin/copilotkit/thread/", f"{site.url}/admin/copilotkit/run/"
    print(f"\n{THREADS} threads, a run of {EVENTS} events; ms of the answer, ms until shown")

    def shown(name: str, url: str = "") -> None:
        if url:
            page.goto(url)
        answered, loaded = page.evaluate(TIMES)
        print(f"{name:24} {answered:7.0f} {loaded:7.0f}")
        expect_no_overflow(keeper)
        assert keeper.unnamed_controls() == []
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)

    shown("threads", threads)
    expect(page.locator("#result_list tbody tr")).to_have_count(50)
    expect(page.locator(".paginator")).to_contain_text("10")
    shown("threads-last-page", f"{threads}?p=200")
    shown("threads-archived", f"{threads}?archived__exact=1")
    shown("threads-agent", f"{threads}?agent=writer")
    page.goto(threads)
    page.locator("#searchbar").fill(id_of(THREADS - 1))
    page.locator("#searchbar").press("Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    shown("threads-searched")
    shown("long-thread", f"{threads}?q={LONG}")
    page.locator("#result_list tbody th a").first.click()
    expect(page.locator(".ck-turn .ck-assistant").first).to_be_visible()
    shown("conversation")
    page.get_by_role("link", name="Run 1", exact=True).click()
    expect(page.locator(".ck-timeline details")).to_have_count(100)
    shown("timeline")
    address = page.url.partition("?")[0]
    shown("timeline-last-page", f"{address}?form=raw&start={EVENTS - 100}")
    shown("runs", runs)
    page.set_viewport_size({"width": 390, "height": 844})
    shown("threads-phone", threads)
    shown("timeline-phone", address)
    page.emulate_media(color_scheme="dark")
    shown("timeline-phone-dark", address)
