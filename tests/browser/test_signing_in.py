"""A browser on which people sign in and out: what they bring, what they leave behind."""

import pytest

from . import writing
from .visitor import Visitor, expect

COOKIE = "copilotkit_anonymous"

#: A user for each test that needs one, and two for the one that needs two.
NAMES = ("ada", "bob", "cleo", "dora", "emil")

CREATE = f"""
from django.contrib.auth.models import User
for name in {NAMES}:
    User.objects.create_user(name, password=name)
"""


@pytest.fixture(scope="module")
def club(start_demo):
    """A site with some users, whose names are their passwords."""
    site = start_demo(DJANGO_SETTINGS_MODULE="tests.browser.unhurried")
    site.manage("shell", "-c", CREATE)
    return site


@pytest.fixture
def guest(visit, club) -> Visitor:
    """Somebody who comes there for the first time."""
    visitor = visit(club)
    # The page to sign in on names no icon, so browsers ask for one where it used to be.
    visitor.provokes("favicon.ico")
    return visitor


def sign_in(visitor: Visitor, name: str) -> None:
    visitor.page.get_by_role("link", name="Sign in").click()
    visitor.page.get_by_label("Username").fill(name)
    visitor.page.get_by_label("Password").fill(name)
    visitor.page.get_by_role("button", name="Log in").click()
    visitor.settle()
    expect(visitor.page.get_by_role("button", name="Sign out")).to_be_visible()


def sign_out(visitor: Visitor) -> None:
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.settle()
    expect(visitor.page.get_by_role("link", name="Sign in")).to_be_visible()


def cookie(visitor: Visitor) -> str:
    """What the browser is known by while nobody is signed in; empty if by nothing."""
    found = {each["name"]: each["value"] for each in visitor.context.cookies()}
    return found.get(COOKIE, "")


def test_sign_in__takes_everything_along(guest, tmp_path):
    """Conversations and to-dos are the user's after signing in, and go on; then they are gone."""
    guest.open()
    guest.ask("Add buy milk")
    before = cookie(guest)
    guest.page.screenshot(path=tmp_path / "visitor.png")

    sign_in(guest, "ada")

    assert cookie(guest) == ""
    expect(guest.threads).to_have_count(1)
    expect(guest.todos).to_have_count(1)
    guest.page.screenshot(path=tmp_path / "user.png")
    assert guest.unnamed_controls() == []
    guest.thread("Add buy milk").get_by_role("button").first.click()
    expect(guest.answers.last).to_have_text("Added “Buy milk”.")
    guest.ask("Add call Ada")
    expect(guest.todos).to_have_count(2)

    sign_out(guest)

    assert cookie(guest) not in ("", before)
    expect(guest.threads).to_have_count(0)
    expect(guest.todos).to_have_count(0)
    print("screenshots in", tmp_path)


def test_sign_in__in_the_middle_of_an_answer(guest, club):
    """The answer goes on in the tab that asked, and stands in the user's list in the other one."""
    guest.open("/?agent=writer")
    with club.held():
        guest.say(writing.QUESTION)
        expect(guest.answers).to_contain_text("Three reasons to care")
        asking = guest.page

        guest.new_tab()
        guest.open("/?agent=writer")
        sign_in(guest, "bob")
        guest.page.goto(asking.url)
        guest.settle()
        expect(guest.stop_button).to_be_visible()
        expect(guest.answers).to_contain_text("Three reasons to care")

    for page in (guest.page, asking):
        guest.page = page
        expect(guest.answers.last).to_contain_text(writing.LAST_WORDS)
        guest.wait_for_end()
        expect(guest.answers).to_have_count(1)
    (asked,) = guest.runs("writer")
    guest.reload()
    expect(guest.thread(writing.QUESTION)).to_have_count(1)
    assert [thread["id"] for thread in guest.listed("writer")] == [asked["threadId"]]


def test_sign_in__leaving_the_answer(guest, club):
    """Who leaves the page to sign in finds the answer going on, and can stop it."""
    guest.open("/?agent=writer")
    with club.held():
        guest.say(writing.QUESTION)
        expect(guest.answers).to_contain_text(writing.HEADLINE)
        address = guest.page.url

        sign_in(guest, "cleo")
        guest.page.goto(address)
        guest.settle()

        expect(guest.answers).to_contain_text(writing.HEADLINE)
        guest.stop_button.click()
        guest.wait_for_end()
    guest.reload()
    expect(guest.answers).to_contain_text(writing.HEADLINE)
    expect(guest.page.get_by_text(writing.LAST_WORDS)).to_have_count(0)


def test_sign_in__two_users_take_turns(guest):
    """Each finds their own and what was said before they signed in, and nothing of the other's."""
    said = {"dora": "Add pay the rent", "emil": "Add feed the cat"}
    addresses = {}
    for name, words in said.items():
        guest.open()
        guest.ask(words)
        addresses[name] = guest.page.url
        sign_in(guest, name)
        sign_out(guest)

    for name, other in (("dora", "emil"), ("emil", "dora")):
        sign_in(guest, name)
        expect(guest.thread(said[name])).to_have_count(1)
        expect(guest.thread(said[other])).to_have_count(0)
        guest.page.goto(addresses[other])
        guest.settle()
        expect(guest.messages).to_have_count(0)
        sign_out(guest)
        expect(guest.threads).to_have_count(0)


def test_first_visit__requests_in_parallel(guest):
    """Everything the page asks for at first is asked for by one visitor, and so from then on."""
    guest.open()
    guest.ask("Add buy milk")

    sent = {
        request.header_value("cookie") or ""
        for request in guest.requests
        if "/api/copilotkit" in request.url
    }
    visitors = {part for value in sent for part in value.split("; ") if part.startswith(COOKIE)}
    assert visitors == {f"{COOKIE}={cookie(guest)}"}
    assert len(sent) == 1


def test_first_visit__tabs_in_parallel(guest):
    """Tabs of a new browser that load at once end up as one visitor with one list."""
    tabs = [guest.page, guest.context.new_page(), guest.context.new_page()]
    for tab in tabs:
        tab.evaluate("address => { setTimeout(() => location.assign(address)) }", f"{guest.url}/")
    for number, tab in enumerate(tabs):
        guest.page = tab
        tab.wait_for_url(f"{guest.url}/")
        guest.settle()
        guest.ask(f"Add thing {number}")

    guest.reload()

    expect(guest.threads).to_have_count(3)
    expect(guest.todos).to_have_count(3)


def test_first_visit__endpoint_before_any_page(guest):
    """Where no page has set a cookie, requests that leave at once still end up as one visitor."""
    guest.page.goto(f"{guest.url}/sign-in")
    assert cookie(guest) == ""

    guest.page.evaluate("() => Promise.all([...Array(8)].map(() => fetch('/api/copilotkit/info')))")

    first = cookie(guest)
    assert first != ""
    guest.open()
    guest.ask("Add buy milk")
    assert cookie(guest) == first
    assert len(guest.listed()) == 1
