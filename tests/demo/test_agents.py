"""What the demo's agents understand and answer, without a server."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from demo_project.agents import almanac, drafts, speech
from demo_project.agents.commands import (
    Add,
    Appearance,
    Delete,
    Greeting,
    Help,
    Incomplete,
    Mark,
    Rename,
    Show,
    Thanks,
    Unknown,
    find,
    parse,
)

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@dataclass
class Entry:
    title: str
    done: bool = False


class TestParse:
    @pytest.mark.parametrize(
        ("text", "titles"),
        [
            ("add buy milk", ["Buy milk"]),
            ("ADD Milk!", ["Milk"]),
            ("add a, b and c", ["A", "B", "C"]),
            ("add milk, eggs, and bread to my list", ["Milk", "Eggs", "Bread"]),
            ("Please add a todo: call Ada.", ["Call Ada"]),
            ("add: milk", ["Milk"]),
            ("add milk and also add eggs", ["Milk", "Eggs"]),
            ("could you put “salt and pepper” on the list?", ["Salt and pepper"]),
            ("remind me to water the plants", ["Water the plants"]),
            ("I need to fix the bike", ["Fix the bike"]),
            ("Add get things done", ["Get things done"]),
            ("add paint it red", ["Paint it red"]),
        ],
    )
    def test_parse__add(self, text, titles):
        """People add things in many words, one or several at a time."""
        assert parse(text) == Add(tuple(titles))

    @pytest.mark.parametrize(
        ("text", "targets", "done"),
        [
            ("done milk", ["milk"], True),
            ("Done “salt and pepper”", ["salt and pepper"], True),
            ("I've finished the report", ["report"], True),
            ("mark milk as done", ["milk"], True),
            ("the milk is done", ["milk"], True),
            ("check off 2 and 3", ["2", "3"], True),
            ("everything is done", ["everything"], True),
            ("reopen milk", ["milk"], False),
            ("milk is not done", ["milk"], False),
            ("untick #2", ["2"], False),
        ],
    )
    def test_parse__mark(self, text, targets, done):
        """Ticking off and reopening, by name or number."""
        assert parse(text) == Mark(tuple(targets), done=done)

    @pytest.mark.parametrize(
        ("text", "command"),
        [
            ("delete done", Delete(which="done")),
            ("clear the completed ones", Delete(which="done")),
            ("Delete everything that is done", Delete(which="done")),
            ("delete everything", Delete(which="all")),
            ("clear my list", Delete(which="all")),
            ("remove milk and 3 from the list", Delete(("milk", "3"))),
        ],
    )
    def test_parse__delete(self, text, command):
        """Deleting what is named, what is done, or all of it."""
        assert parse(text) == command

    @pytest.mark.parametrize(
        ("text", "command"),
        [
            ("rename milk to oat milk", Rename("milk", "Oat milk")),
            ("change #2 to call Bob", Rename("2", "Call Bob")),
        ],
    )
    def test_parse__rename(self, text, command):
        """A new name for an entry."""
        assert parse(text) == command

    @pytest.mark.parametrize(
        ("text", "which"),
        [
            ("what's open", "open"),
            ("What\u2019s open?", "open"),
            ("what do I have to do today?", "open"),
            ("how many are left", "open"),
            ("what's done?", "done"),
            ("list", "all"),
            ("show me my list", "all"),
            ("What's on my to-do list?", "all"),
        ],
    )
    def test_parse__show(self, text, which):
        """Questions about the list."""
        assert parse(text) == Show(which)

    @pytest.mark.parametrize(
        ("text", "accent", "mode"),
        [
            ("make the page blue", "blue", None),
            ("Can you make the page pink?", "pink", None),
            ("change the background to purple", "violet", None),
            ("dark mode", None, "dark"),
            ("switch to light mode please", None, "light"),
            ("use the dark theme", None, "dark"),
            ("make it dark and red", "red", "dark"),
        ],
    )
    def test_parse__appearance(self, text, accent, mode):
        """Wishes about the looks of the page."""
        assert parse(text) == Appearance(accent, mode)

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("hi", Greeting),
            ("Hello there!", Greeting),
            ("thanks", Thanks),
            ("help", Help),
            ("?", Help),
            ("what can you do?", Help),
            ("add", Incomplete),
            ("make the page plaid", Incomplete),
            ("paint the fence", Unknown),
            ("make the bed", Unknown),
            ("", Unknown),
            ("\0\ud83d", Unknown),
        ],
    )
    def test_parse__anything_else(self, text, kind):
        """Whatever is said, there is an answer to it."""
        assert isinstance(parse(text), kind)


class TestFind:
    ENTRIES = (Entry("Buy milk"), Entry("Buy bread"), Entry("Call Ada", done=True))

    @pytest.mark.parametrize("target", ["1", "milk", "BUY MILK", "buy mlik"])
    def test_find__one(self, target):
        """Number, part, any case or a slip of the finger: it is the milk."""
        found = find((target,), list(self.ENTRIES))

        assert [entry.title for entry in found.items] == ["Buy milk"]

    def test_find__ambiguous(self):
        """Two candidates are not guessed between."""
        found = find(("buy",), list(self.ENTRIES))

        assert found.items == []
        assert [entry.title for entry in found.ambiguous["buy"]] == ["Buy milk", "Buy bread"]

    def test_find__missing(self):
        """What is not there is reported by the name it was given."""
        assert find(("cheese", "9"), list(self.ENTRIES)).missing == ["cheese", "9"]

    def test_find__all_that_are_open(self):
        """Ticking off everything means what is still open."""
        found = find(("everything",), list(self.ENTRIES), prefer_done=False)

        assert [entry.title for entry in found.items] == ["Buy milk", "Buy bread"]


class TestDrafts:
    @pytest.mark.parametrize(
        ("texts", "brief"),
        [
            (["write about lighthouses"], drafts.Brief("lighthouses")),
            (["Write a short poem about the sea!"], drafts.Brief("the sea", "poem", short=True)),
            (["an email about moving the meeting"], drafts.Brief("moving the meeting", "email")),
            (["lighthouses in winter"], drafts.Brief("lighthouses in winter")),
            (["write about tea", "as a poem"], drafts.Brief("tea", "poem")),
            (["write about tea", "shorter", "longer"], drafts.Brief("tea")),
            (["hi"], None),
            (["write a poem"], None),
            (["write about tea", "hi"], None),
            ([], None),
        ],
    )
    def test_understand(self, texts, brief):
        """The topic stays, the form follows the latest wish."""
        assert drafts.understand(texts) == brief

    @pytest.mark.parametrize("form", ["article", "poem", "email", "plan"])
    @pytest.mark.parametrize("short", [False, True])
    def test_draft(self, form, short):
        """Every form is about its topic, and the same each time."""
        brief = drafts.Brief("C++ | templates", form, short)

        text = drafts.draft(brief)

        assert "templates" in text
        assert text == drafts.draft(brief)


class TestAlmanac:
    @pytest.mark.parametrize(
        ("question", "part"),
        [
            ("What weekday was 20 July 1969?", "Sunday"),
            ("how many days until Christmas?", "**35 days**"),
            ("days between 2026-03-01 and 2026-09-15", "**198 days**"),
            ("what is 100 days from now?", "28 February 2027"),
            ("what was 3 weeks ago", "30 October 2026"),
            ("what time is it in Tokyo?", "**17:30**"),
            ("what time is it?", "**09:30**"),
            ("what time is it in Gotham?", "no clock in Gotham"),
            ("when is Easter 2027?", "28 March 2027"),
            ("is 2028 a leap year?", "Yes"),
            ("is 1900 a leap year?", "No"),
            ("which week is it?", "week 47"),
            ("what day is 29 Feb?", "29 February 2028"),
            ("999999 days ago", "beyond"),
            ("2026-02-30", "Ask me things like"),
            ("", "Ask me things like"),
        ],
    )
    def test_answer(self, question, part):
        """Dates and times are computed, not guessed; nonsense gets the list of questions."""
        assert part in almanac.answer(question, NOW)

    @pytest.mark.parametrize(
        ("year", "day"),
        [(1961, (4, 2)), (2000, (4, 23)), (2008, (3, 23)), (2024, (3, 31)), (2038, (4, 25))],
    )
    def test_easter(self, year, day):
        """Known Easter Sundays, the earliest and latest of our time among them."""
        assert almanac.easter(year) == date(year, *day)

    def test_answer__long_input(self):
        """Nobody can keep the server busy with a long message."""
        assert almanac.answer("time in " * 50_000, NOW.astimezone(UTC))


class TestSpeech:
    async def test_words(self):
        """Nothing is lost or added when a text is cut into words."""
        text = "# Tea\n\n- one\n- two  \n"

        assert "".join([piece async for piece in speech.words(text, pace=(0, 0))]) == text

    async def test_call__arguments(self):
        """The pieces of the arguments are one JSON text again."""
        events = [event async for event in speech.call("setAccent", {"color": "blue"})]

        deltas = "".join(event["delta"] for event in events if "delta" in event)
        assert deltas == '{"color": "blue"}'

    @pytest.mark.parametrize("props", [None, {}, {"toolChoice": "auto"}, {"toolChoice": {}}, []])
    def test_is_suggestion_run__ordinary(self, props):
        """Only the client's own request for suggestions is one."""
        assert not speech.is_suggestion_run(props)
