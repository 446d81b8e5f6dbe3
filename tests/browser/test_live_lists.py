"""Two browsers of one person, at two processes of the site: what one does the other one shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.chaos.stores import redis_server

from .demo import Demo
from .lines import Address
from .visitor import Visitor, expect

#: What a page that waits for news asks for by itself.
POLLED = ("/threads?", "/threads/subscribe", "/info")

#: Sockets that broke while their server was away.
BROKEN = r"WebSocket connection to .* failed"


class Site:
    """Two processes with a Redis between them, each behind an address that stays."""

    def __init__(self, start: Callable[..., Demo], redis: str, addresses: ExitStack) -> None:
        self._start, self._addresses = start, addresses
        self._options = {
            "DJANGO_SETTINGS_MODULE": "tests.browser.realtime_settings",
            "REALTIME_REDIS": redis,
        }
        self.demos: list[Demo] = []
        self.addresses: list[Address] = []

    def open(self, *, token_seconds: float = 3600.0) -> None:
        self._options["REALTIME_SECONDS"] = str(token_seconds)
        self.demos = self._processes()
        self.addresses = [self._addresses.enter_context(Address(demo.port)) for demo in self.demos]

    def _processes(self) -> list[Demo]:
        first = self._start(beside=self.demos[0] if self.demos else None, **self._options)
        return [first, self._start(beside=first, **self._options)]

    def restart(self) -> None:
        """Have new processes take the places of those there are, which are killed."""
        before, self.demos = self.demos, self._processes()
        for address, demo in zip(self.addresses, self.demos, strict=True):
            address.lead_to(demo.port)
        for demo in before:
            demo.kill()


@pytest.fixture
def site(start_demo: Callable[..., Demo]) -> Iterator[Site]:
    with redis_server() as redis, ExitStack() as addresses:
        site = Site(start_demo, redis.url, addresses)
        yield site
        # They would look for their Redis to the end of all tests.
        for demo in site.demos:
            demo.kill()


@pytest.fixture
def both(site: Site, visit: Callable[..., Visitor]) -> Callable[..., tuple[Visitor, Visitor]]:
    """The same person in two browsers, each at a process of its own."""

    def both(**options: Any) -> tuple[Visitor, Visitor]:
        site.open(**options)
        here = visit(site.addresses[0])
        listening(here, here.open)
        there = visit(site.addresses[1], storage_state=here.context.storage_state())
        listening(there, there.open)
        return here, there

    return both


def listening(visitor: Visitor, act: Callable[[], Any]) -> None:
    """Do something that makes a page fetch its list, until it has asked to be told of changes."""
    with visitor.page.expect_response("**/threads/subscribe"):
        act()


def polled(visitor: Visitor, since: int) -> list[str]:
    """What a page has asked for without being told to."""
    return [
        f"{each.method} {each.url}"
        for each in visitor.requests[since:]
        if any(part in each.url for part in POLLED) or each.is_navigation_request()
    ]


def rename(visitor: Visitor, title: str, name: str) -> None:
    visitor.thread(title).hover()
    visitor.page.get_by_role("button", name=f"Rename {title}").click()
    box = visitor.page.get_by_role("textbox", name="Name of the conversation")
    box.fill(name)
    box.press("Enter")


def test_lists__change_by_themselves(both, capsys):
    """Whatever is done to a conversation in one browser the other shows, asking for nothing."""
    here, there = both()
    asked = len(there.requests)
    delays = {}

    began = time.monotonic()
    here.say("Add buy milk")
    expect(there.threads).to_have_count(1)
    delays["create"] = time.monotonic() - began
    here.wait_for_end()

    rename(here, "Add buy milk", "Groceries")
    began = time.monotonic()
    expect(there.thread("Groceries")).to_be_visible()
    delays["rename"] = time.monotonic() - began

    here.page.get_by_role("button", name="New conversation").click()
    here.ask("Help")
    expect(there.threads).to_have_count(2)
    assert polled(there, asked) == []

    there.thread("Groceries").hover()
    there.page.get_by_role("button", name="Archive Groceries").click()
    began = time.monotonic()
    expect(here.threads).to_have_count(1)
    delays["archive"] = time.monotonic() - began

    listening(there, there.page.get_by_role("checkbox", name="Show archived").check)
    expect(there.thread("Groceries")).to_contain_text("archived")
    asked = len(there.requests)
    here.page.get_by_role("checkbox", name="Show archived").check()
    expect(here.thread("Groceries")).to_contain_text("archived")
    here.thread("Groceries").hover()
    here.page.get_by_role("button", name="Restore Groceries").click()
    began = time.monotonic()
    expect(there.thread("Groceries")).not_to_contain_text("archived")
    delays["restore"] = time.monotonic() - began

    here.thread("Groceries").hover()
    here.page.get_by_role("button", name="Delete Groceries").click()
    question = here.page.get_by_role("group", name="Delete Groceries?")
    question.get_by_role("button", name="Delete").click()
    began = time.monotonic()
    expect(there.thread("Groceries")).to_have_count(0)
    delays["delete"] = time.monotonic() - began

    assert polled(there, asked) == []
    with capsys.disabled():
        print("\nseconds until the other browser shows it:", _rounded(delays))


def test_run__is_watched_elsewhere(both, capsys):
    """A run that is started in one browser streams in the other, which has the thread open."""
    here, there = both()
    here.page.goto(f"{here.url}/?agent=writer")
    here.settle()
    here.ask("A poem about the sea")
    thread = here.runs("writer")[0]["threadId"]
    listening(there, lambda: there.open(f"/?agent=writer&thread={thread}"))
    expect(there.answers).to_have_count(1)
    there.wait_for_end()
    asked = len(there.requests)

    here.say("Write about lighthouses")
    began = time.monotonic()
    expect(there.page.get_by_test_id("copilot-user-message").last).to_have_text(
        "Write about lighthouses"
    )
    delay = time.monotonic() - began
    expect(here.stop_button).to_have_count(1)
    # It is being answered in both.
    expect(there.answers).to_have_count(2)
    here.wait_for_end()
    there.wait_for_end()

    there.expect_conversation(here.conversation())
    assert polled(there, asked) == []
    with capsys.disabled():
        print("\nseconds until the other browser shows the run:", round(delay, 2))


def test_restart__of_the_servers(both, site):
    """All servers replaced, the age of all tokens passed: both go on by themselves."""
    here, there = both(token_seconds=1.0)
    here.ask("Add buy milk")
    expect(there.threads).to_have_count(1)
    for visitor in (here, there):
        visitor.provokes(BROKEN)
    # Their age, which is a second.
    there.page.wait_for_timeout(1000)
    asked = len(there.requests)

    site.restart()

    rename(here, "Add buy milk", "Groceries")
    expect(there.thread("Groceries")).to_be_visible()
    rename(there, "Groceries", "Errands")
    expect(here.thread("Errands")).to_be_visible()
    assert polled(there, asked) == []


def _rounded(delays: dict[str, float]) -> dict[str, float]:
    return {name: round(delay, 3) for name, delay in delays.items()}
