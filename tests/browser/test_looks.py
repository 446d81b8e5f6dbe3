"""The page by night, on a phone, by keyboard and for those who do not see it."""

import re

import pytest

from . import writing
from .visitor import Visitor, expect

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}

#: The contrast of an element's text to what is painted behind it, as WCAG reckons it.
CONTRAST = """(element) => {
    const luminance = (colour) => {
        const canvas = new OffscreenCanvas(1, 1).getContext("2d");
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [red, green, blue] = [...canvas.getImageData(0, 0, 1, 1).data]
            .map((value) => value / 255)
            .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const text = luminance(getComputedStyle(element).color);
    let behind = element;
    const painted = (it) => getComputedStyle(it).backgroundColor;
    while (painted(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    const ground = luminance(painted(behind));
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
}"""


@pytest.fixture
def phone(visit) -> Visitor:
    return visit(**PHONE)


def expect_no_overflow(visitor: Visitor):
    width = visitor.page.viewport_size["width"]
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
    chat = visitor.page.get_by_role("main")
    assert chat.evaluate("it => it.scrollWidth <= it.clientWidth")


def test_dark__as_the_system_wishes(visit):
    """The page is dark when the system is, legible, and light on request; that lasts."""
    visitor = visit(color_scheme="dark")
    visitor.open()
    answer = visitor.ask("Add buy milk")

    expect(visitor.page.locator("html")).to_have_class(re.compile("dark"))
    texts = [
        answer.locator("p"),
        visitor.page.get_by_test_id("copilot-user-message").get_by_text("Add buy milk"),
        visitor.composer,
        visitor.todos.first,
        visitor.threads.first.get_by_role("button").first,
    ]
    assert [text.evaluate(CONTRAST) > 7 for text in texts] == [True] * len(texts)

    visitor.page.get_by_role("button", name="Switch to light mode").click()
    expect(visitor.page.locator("html")).not_to_have_class(re.compile("dark"))
    assert [text.evaluate(CONTRAST) > 7 for text in texts] == [True] * len(texts)
    visitor.reload()
    expect(visitor.page.get_by_role("button", name="Switch to dark mode")).to_be_visible()


def test_dark__as_the_agent_was_told(visitor: Visitor):
    """The assistant can darken the page, too."""
    visitor.open()

    visitor.say("Dark mode")

    expect(visitor.page.locator("html")).to_have_class(re.compile("dark"))
    expect(visitor.answers.last).to_contain_text(re.compile("Done|There you go"))


def test_phone__is_usable(phone: Visitor):
    """Nothing sticks out, the composer is in sight, and lists wait behind their buttons."""
    phone.open()
    expect_no_overflow(phone)
    expect(phone.composer).to_be_in_viewport(ratio=1)

    phone.ask("Add buy milk and call Ada")
    phone.say("Delete milk")
    expect(phone.approval).to_be_in_viewport(ratio=1)
    expect_no_overflow(phone)
    expect(phone.composer).to_be_in_viewport(ratio=1)

    phone.page.get_by_role("button", name="To-dos, 2 open").tap()
    panel = phone.page.get_by_role("dialog", name="To-dos")
    expect(panel.get_by_role("checkbox")).to_have_count(2)
    assert phone.unnamed_controls() == []
    panel.get_by_role("button", name="Close").tap()
    phone.page.get_by_role("button", name="Conversations").tap()
    panel = phone.page.get_by_role("dialog", name="Conversations")
    panel.get_by_role("button", name="New conversation").tap()
    expect(panel).to_have_count(0)
    expect(phone.messages).to_have_count(0)

    phone.page.get_by_role("button", name="Writer").tap()
    phone.ask(writing.QUESTION)
    expect_no_overflow(phone)
    expect(phone.composer).to_be_in_viewport(ratio=1)


def test_controls__have_names(visitor: Visitor):
    """Everything that can be pressed says what it does, whatever the page shows."""
    visitor.open()
    expect(visitor.suggestions.first).to_be_enabled()
    assert visitor.unnamed_controls() == []

    visitor.ask("Add buy milk and call Ada")
    visitor.say("Delete milk")
    expect(visitor.approval).to_be_visible()
    assert visitor.unnamed_controls() == []

    visitor.page.get_by_role("button", name="Things to say").click()
    expect(visitor.page.get_by_role("menuitem", name="Delete done")).to_be_visible()
    assert visitor.unnamed_controls() == []
    visitor.page.keyboard.press("Escape")

    visitor.page.set_viewport_size({"width": 1280, "height": 400})
    visitor.answers.last.hover()
    visitor.page.mouse.wheel(0, -5000)
    expect(visitor.page.get_by_role("button", name="Scroll to the end")).to_be_visible()
    assert visitor.unnamed_controls() == []

    visitor.thread("Add buy milk and call Ada").hover()
    visitor.page.get_by_role("button", name="Rename Add buy milk and call Ada").click()
    expect(visitor.page.get_by_role("button", name="Save the name")).to_be_visible()
    assert visitor.unnamed_controls() == []


def test_keyboard__reaches_everything(visitor: Visitor):
    """A conversation can be had without a mouse; Tab passes everything above on its way."""
    visitor.open()
    focused = visitor.page.locator(":focus")

    visitor.page.keyboard.press("Tab")
    expect(focused).to_have_text("Skip to the conversation")
    reached = []
    while len(reached) < 30 and not visitor.composer.evaluate(
        "it => it === document.activeElement"
    ):
        visitor.page.keyboard.press("Tab")
        reached.append(focused.evaluate("it => it.ariaLabel ?? it.innerText.trim()"))
    assert reached[-1] == "Message"
    assert {"To-dos", "Writer", "Almanac", "New conversation"} <= set(reached)

    visitor.page.keyboard.type("add buy milk")
    visitor.page.keyboard.press("Enter")
    expect(visitor.answers.last).to_have_text("Added “Buy milk”.")
    visitor.wait_for_end()
    expect(visitor.composer).to_be_focused()
