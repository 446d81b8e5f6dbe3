"""The command that people try first."""

from . import writing
from .visitor import expect


def test_runserver__streams(visit, start_demo):
    """`manage.py runserver` serves the page, and answers word by word."""
    site = start_demo(server="runserver", DJANGO_SETTINGS_MODULE="tests.browser.unhurried")
    visitor = visit(site)
    visitor.open("/?agent=writer")

    with site.held():
        visitor.say(writing.QUESTION)
        expect(visitor.answers).to_contain_text(writing.HEADLINE)
        assert writing.LAST_WORDS not in visitor.answers.inner_text()
        visitor.stop_button.click()
        visitor.wait_for_end()
    assert writing.LAST_WORDS not in visitor.answers.inner_text()
