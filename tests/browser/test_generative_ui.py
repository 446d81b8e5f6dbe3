"""What agents draw: apps of MCP servers, forms of components, pages of their own."""

import re
from collections.abc import Callable, Iterator

import pytest

from copilotkit_django.testing import FakeLLM
from copilotkit_django.testing.answers import ToolCall
from tests.mcp_server import clock_server

from .demo import Demo
from .visitor import Visitor, expect

#: The protocol of MCP Apps, as far as this app needs it: it shows what the tool has said, and what
#: another tool says when its button is pressed.
CLOCK_PAGE = """<!doctype html>
<p id="said">…</p><button>Wind</button>
<script>
  let number = 0;
  const post = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  const request = (method, params) => post({ id: ++number, method, params });
  addEventListener("message", ({ data }) => {
    const result = data.method === "ui/notifications/tool-result" ? data.params : data.result;
    if (result?.content) document.getElementById("said").textContent = result.content[0].text;
    if (data.id === 1 && data.result) post({ method: "ui/notifications/initialized", params: {} });
  });
  document.querySelector("button").onclick = () =>
    request("tools/call", { name: "wind", arguments: { turns: 3 } });
  request("ui/initialize", {
    protocolVersion: "2026-01-26", appInfo: { name: "Clock", version: "1" }, appCapabilities: {},
  });
</script>"""

FORM = {
    "surfaceId": "greeting",
    "components": [
        {"id": "root", "component": "Column", "children": ["title", "name", "greet"]},
        {"id": "title", "component": "Text", "text": {"path": "/title"}},
        {"id": "name", "component": "TextField", "label": "Name", "value": {"path": "/name"}},
        {
            "id": "greet",
            "component": "Button",
            "child": "label",
            "action": {"event": {"name": "greet", "context": {"name": {"path": "/name"}}}},
        },
        {"id": "label", "component": "Text", "text": "Greet me"},
    ],
    "data": {"title": "Who are you?", "name": ""},
}

PAGE = {
    "initialHeight": 120,
    "css": "h1 { color: teal }",
    "html": "<h1>A page</h1><p id=counted>0</p>",
    "jsFunctions": "function count() { document.getElementById('counted').textContent = '42' }",
    "jsExpressions": ["count()"],
}


def app_in(visitor: Visitor):
    """What is inside of the frame of an MCP App, which is a frame in a frame."""
    return visitor.page.frame_locator("[data-testid=mcp-app-iframe]").frame_locator("iframe")


def page_in(visitor: Visitor):
    """What is inside of a sandboxed page."""
    return visitor.page.frame_locator("iframe:not([data-testid])")


def stored_runs(visitor: Visitor) -> list[str]:
    """The ids of the runs the thread on the screen has."""
    thread = re.search(r"thread=([\w-]+)", visitor.page.url)
    assert thread
    answer = visitor.context.request.get(f"{visitor.url}/api/studio/threads/{thread[1]}/events")
    return [e["runId"] for e in answer.json()["events"] if e["type"] == "RUN_STARTED"]


class TestStudio:
    """The demo's agent, without a model."""

    def test_app(self, visitor: Visitor):
        """Dice of an MCP server are shown, its button rolls them again, and a reload shows them."""
        visitor.open("/studio")
        visitor.ask("Roll 3 dice")
        dice = app_in(visitor).locator(".die")
        expect(dice).to_have_count(3)
        first = app_in(visitor).get_by_role("status").inner_text()

        again = app_in(visitor).get_by_role("button", name="Roll again")
        # The same sum twice is no rarity.
        for _ in range(12):
            again.click()
            expect(again).to_be_enabled()
            if app_in(visitor).get_by_role("status").inner_text() != first:
                break
        else:
            raise AssertionError("twelve rolls of three dice were all alike")

        calls = [
            run["forwardedProps"]["__proxiedMCPRequest"]["method"]
            for run in visitor.runs("studio")
            if "__proxiedMCPRequest" in run["forwardedProps"]
        ]
        assert calls[:2] == ["resources/read", "tools/call"]
        assert len(stored_runs(visitor)) == 1
        visitor.reload()
        expect(app_in(visitor).locator(".die")).to_have_count(3)
        assert len(stored_runs(visitor)) == 1

    def test_form(self, visitor: Visitor):
        """What is entered in a form comes back to the agent, and a reload shows the form."""
        visitor.open("/studio")
        visitor.ask("Book a table")
        page = visitor.page
        page.get_by_label("Name", exact=True).fill("Ada")
        page.get_by_label("Outside, if it is warm").check()

        page.get_by_role("button", name="Book", exact=True).click()

        expect(visitor.answers.last).to_contain_text(
            "A table outside for 2 people, in the name of Ada."
        )
        visitor.reload()
        expect(page.get_by_role("button", name="Book", exact=True)).to_be_visible()
        expect(visitor.answers.last).to_contain_text("in the name of Ada")

    def test_page(self, visitor: Visitor):
        """A page is drawn once, its scripts run in its frame only, and a reload shows it."""
        visitor.open("/studio")
        visitor.ask("Draw a clock")

        expect(page_in(visitor).locator("#time")).to_have_text(re.compile("^It is "))
        expect(visitor.answers.last).to_contain_text("There it goes.")
        expect(visitor.page.locator("iframe")).to_have_count(1)
        frame = visitor.page.locator("iframe").element_handle().content_frame()
        assert frame.evaluate("origin") == "null"
        visitor.reload()
        expect(page_in(visitor).locator("#time")).to_have_text(re.compile("^It is "))

    def test_switch(self, visitor: Visitor):
        """The studio has a page of its own; the agents of the other are a click away."""
        visitor.open("/")
        visitor.page.get_by_role("button", name="Studio").click()
        visitor.page.wait_for_url("**/studio")
        visitor.settle()
        visitor.page.get_by_role("button", name="Writer").click()
        visitor.page.wait_for_url("**/?agent=writer")
        visitor.settle()

        expect(visitor.page.get_by_role("button", name="Writer")).to_have_attribute(
            "aria-pressed", "true"
        )


def script(prompt):
    """A model that draws what it is asked for."""
    if prompt.tool_names == ["copilotkitSuggest"]:
        return ToolCall("copilotkitSuggest", {"suggestions": []})
    if prompt.tool_results:
        told = prompt.tool_results[-1].text
        return "Hello Ada!" if 'action "greet"' in told and "Ada" in told else "Done."
    draws = {
        "clock": ToolCall("show_clock", {"zone": "Rome"}),
        "form": ToolCall("render_a2ui", FORM),
        "page": ToolCall("generateSandboxedUi", PAGE),
    }
    for word, call in draws.items():
        if word in prompt.last_user_text:
            return call
    return "What?"


@pytest.fixture(scope="module")
def drawing_site(start_demo: Callable[..., Demo]) -> Iterator[Demo]:
    """The studio with a model: the built-in agent on a fake provider, a real MCP server."""
    with FakeLLM(script, delay=0.002) as llm, clock_server(page=CLOCK_PAGE) as clock:
        yield start_demo(
            DJANGO_SETTINGS_MODULE="tests.browser.drawing",
            TEST_CLOCK_URL=clock.url,
            **llm.environment("openai"),
        )


class TestModel:
    """A model that knows nothing of all this but the tools it is offered."""

    def test_app(self, visit, drawing_site):
        """The app of a real MCP server is shown, calls back, and is there after a reload."""
        visitor = visit(drawing_site)
        visitor.open("/studio")
        visitor.ask("Show me the clock")
        said = app_in(visitor).locator("#said")
        expect(said).to_have_text("It is noon in Rome.")

        app_in(visitor).get_by_role("button", name="Wind").click()

        expect(said).to_have_text("Wound 3 times.")
        visitor.reload()
        expect(app_in(visitor).locator("#said")).to_have_text("It is noon in Rome.")

    def test_form(self, visit, drawing_site):
        """A form the model wrote takes an answer back to it."""
        visitor = visit(drawing_site)
        visitor.open("/studio")
        visitor.ask("Draw a form")
        visitor.page.get_by_label("Name", exact=True).fill("Ada")

        visitor.page.get_by_role("button", name="Greet me").click()

        expect(visitor.answers.last).to_contain_text("Hello Ada!")
        visitor.reload()
        expect(visitor.page.get_by_label("Name", exact=True)).to_be_visible()

    def test_page(self, visit, drawing_site):
        """A page the model wrote is shown, and its script has run."""
        visitor = visit(drawing_site)
        visitor.open("/studio")
        visitor.ask("Draw a page")

        expect(page_in(visitor).get_by_role("heading", name="A page")).to_be_visible()
        expect(page_in(visitor).locator("#counted")).to_have_text("42")
        visitor.reload()
        expect(page_in(visitor).locator("#counted")).to_have_text("42")
