"""A person at the demo: a browser with its own cookies, what it shows and what it asks for."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import (
        APIResponse,
        Browser,
        ConsoleMessage,
        Error,
        Locator,
        Request,
    )

#: How long to wait for what has to happen, on machines that are busy with something else.
PATIENCE_MS = 20_000

#: As the snapshot for assistive technology writes what can be operated but has no name.
UNNAMED = re.compile(r"- (?:button|checkbox|link|menuitem|textbox)(?: \[[^]]*\])*:?$", re.M)
MESSAGES = "[data-testid=copilot-user-message], [data-testid=copilot-assistant-message]"


def expect(actual: Any) -> Any:
    """Playwright's `expect`; imported late, because machines without it skip these tests."""
    from playwright import sync_api

    sync_api.expect.set_options(timeout=PATIENCE_MS)
    return sync_api.expect(actual)


class Visitor:
    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        self.url = url
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | context)
        self.context.set_default_timeout(PATIENCE_MS)
        #: Every request of every tab, oldest first.
        self.requests: list[Request] = []
        #: What went wrong in a tab, in its own words.
        self.complaints: list[str] = []
        self._expected: list[str] = []
        self.context.on("request", self._note_request)
        self.context.on("console", self._note_console)
        self.context.on("weberror", lambda failure: self._note_error(failure.error))
        self.page = self.context.new_page()

    def _note_request(self, request: Request) -> None:
        self.requests.append(request)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _note_error(self, error: Error) -> None:
        self.complaints.append(f"uncaught: {error.message}")

    def provokes(self, *patterns: str) -> None:
        """Expect complaints like these; any other one fails the test."""
        self._expected += patterns

    def unexpected_complaints(self) -> list[str]:
        return [
            complaint
            for complaint in self.complaints
            if not any(re.search(pattern, complaint) for pattern in self._expected)
        ]

    def foreign_requests(self) -> list[str]:
        """The addresses of requests that went anywhere else than to the demo."""
        own = urlsplit(self.url).netloc
        return [
            request.url
            for request in self.requests
            if urlsplit(request.url).scheme not in {"data", "blob"}
            and urlsplit(request.url).netloc != own
        ]

    # What a person does

    def open(self, address: str = "/") -> None:
        """Go to an address of the demo, and wait until the page has found the server."""
        self.page.goto(f"{self.url}{address}")
        self.settle()

    def reload(self) -> None:
        self.page.reload()
        self.settle()

    def settle(self) -> None:
        """Wait until the page is connected: before, it does not send what is typed."""
        self.page.locator(".threads").locator(".row, .empty").first.wait_for(state="attached")

    def new_tab(self) -> None:
        """Open another tab and look at that one from now on."""
        self.page = self.context.new_page()

    def say(self, text: str) -> None:
        self.composer.fill(text)
        self.composer.press("Enter")
        expect(self.page.get_by_test_id("copilot-user-message").last).to_have_text(text)

    def ask(self, text: str) -> Locator:
        """Say something, wait for the end of the answer, and return the last part of it."""
        before = self.answers.count()
        self.say(text)
        expect(self.answers).not_to_have_count(before)
        self.wait_for_end()
        return self.answers.last

    def wait_for_end(self) -> None:
        """Wait until nothing is being answered."""
        expect(self.stop_button).to_have_count(0)
        expect(self.page.get_by_role("button", name="Send", exact=True)).to_have_count(1)

    # What a person sees

    @property
    def composer(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def stop_button(self) -> Locator:
        return self.page.get_by_role("button", name="Stop", exact=True)

    @property
    def answers(self) -> Locator:
        return self.page.get_by_test_id("copilot-assistant-message")

    @property
    def messages(self) -> Locator:
        return self.page.locator(MESSAGES)

    def conversation(self) -> list[str]:
        """The words of all messages in the order of the screen."""
        return [normal(text) for text in self.messages.all_inner_texts()]

    def expect_conversation(self, words: list[str]) -> None:
        """Wait until it reads like that: a message is on the screen before its words are."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while self.conversation() != words and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
        assert self.conversation() == words

    @property
    def approval(self) -> Locator:
        return self.page.get_by_role("group", name="Your approval is needed")

    @property
    def todos(self) -> Locator:
        return self.page.get_by_role("complementary", name="To-dos").get_by_role("checkbox")

    @property
    def suggestions(self) -> Locator:
        return self.page.get_by_test_id("copilot-suggestion")

    @property
    def threads(self) -> Locator:
        """The entries of the list of conversations."""
        return self.page.get_by_role("navigation", name="Conversations").get_by_role("listitem")

    def thread(self, title: str) -> Locator:
        return self.threads.filter(has=self.page.get_by_text(title, exact=True))

    @property
    def toast(self) -> Locator:
        """What the page says about an error."""
        return self.page.get_by_role("alert")

    def unnamed_controls(self) -> list[str]:
        """What a screen reader could only call "button"."""
        return UNNAMED.findall(self.page.locator("body").aria_snapshot())

    # What the server was asked

    def posted(self, path: str) -> list[dict[str, Any]]:
        """The bodies of the POST requests whose path ends so, oldest first."""
        return [
            json.loads(request.post_data or "{}")
            for request in self.requests
            if request.method == "POST" and urlsplit(request.url).path.endswith(path)
        ]

    def runs(self, agent: str = "default") -> list[dict[str, Any]]:
        return self.posted(f"/agent/{agent}/run")

    def get(self, path: str) -> APIResponse:
        """Ask the endpoint beside the page, with the visitor's cookies."""
        return self.context.request.get(f"{self.url}/api/copilotkit{path}")

    def listed(self, agent: str = "default") -> list[dict[str, Any]]:
        """The visitor's threads, archived ones too, as the server lists them."""
        answer = self.get(f"/threads?agentId={agent}&includeArchived=true").json()
        threads: list[dict[str, Any]] = answer["threads"]
        return threads

    def report(self) -> str:
        """What a failing test should show of this visitor."""
        network = [
            f"{each.method} {each.url}" for each in self.requests if "/static/" not in each.url
        ]
        return "\n".join(["requests:", *network[-40:], "complaints:", *self.complaints])


def normal(text: str) -> str:
    """The same text with single spaces."""
    return " ".join(text.split())
