"""Texts about anything, made from templates. Pure functions, no Django."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Form = Literal["article", "poem", "email", "plan"]


@dataclass(frozen=True)
class Brief:
    topic: str
    form: Form = "article"
    short: bool = False


_FORMS: dict[str, Form] = {
    "poem": "poem",
    "haiku": "poem",
    "verse": "poem",
    "song": "poem",
    "rhyme": "poem",
    "email": "email",
    "e-mail": "email",
    "mail": "email",
    "letter": "email",
    "message": "email",
    "note": "email",
    "plan": "plan",
    "checklist": "plan",
    "guide": "plan",
    "roadmap": "plan",
    "tutorial": "plan",
    "article": "article",
    "essay": "article",
    "post": "article",
    "text": "article",
    "story": "article",
    "report": "article",
    "page": "article",
    "something": "article",
}
_FORM_WORDS = "|".join(sorted(map(re.escape, _FORMS), key=len, reverse=True))
_ABOUT = re.compile(
    r"\b(?:about|on|regarding|concerning|for|of|how\s+to)\s+(?P<topic>.+)$", re.I | re.S
)
_ASKS = re.compile(
    rf"\b(?:write|draft|compose|pen|tell\s+me|explain|describe|create|make|give\s+me|need|want"
    rf"|{_FORM_WORDS})\b",
    re.I,
)
_REVISES = re.compile(
    rf"^(?:(?:now|and|please|ok|make|turn|rewrite|write|do|try|it|that|this|the\s+same|again|once"
    rf"\s+more|a\s+bit|much|even|into|in|as|an?|bit|little|instead|shorter|short|brief(?:er)?|longer|long"
    rf"|more\s+detail(?:ed)?|blog|{_FORM_WORDS})[\s,.!?]*)+$",
    re.I,
)
_NO_TOPIC = {"it", "that", "this", "something", "anything", "me", "you"}


def understand(texts: Sequence[str]) -> Brief | None:
    """What to write, from everything the person said so far; None if no topic came up."""
    brief: Brief | None = None
    for text in texts:
        said = text[:500].strip().strip("!?. ")
        brief = _revised(brief, said) or _asked(said) or (brief if text is not texts[-1] else None)
    return brief


def _revised(brief: Brief | None, said: str) -> Brief | None:
    if brief is None or not _REVISES.match(said):
        return None
    words = said.lower()
    short = brief.short
    if re.search(r"short|brief", words):
        short = True
    elif re.search(r"long|detail", words):
        short = False
    return replace(brief, form=_form(words) or brief.form, short=short)


def _asked(said: str) -> Brief | None:
    said = re.sub(r"^(?:please|can you|could you|hi|hello|hey)\b[\s,]*", "", said, flags=re.I)
    found = _ABOUT.search(said)
    if found and (_ASKS.search(said[: found.start()]) or not said[: found.start()].strip()):
        topic, before = found["topic"], said[: found.start()]
    elif (
        told := re.match(r"^(?:explain|describe|write|draft)\s+(.+)$", said, re.I | re.S)
    ) is not None:
        topic, before = told[1], ""
    elif _is_bare_topic(said):
        topic, before = said, ""
    else:
        return None
    topic = re.sub(r"\s+", " ", topic).strip(" \"“”'.,;:")[:120]
    if not topic or topic.lower() in _NO_TOPIC or _REVISES.match(topic):
        return None
    return Brief(
        topic,
        _form(before.lower()) or "article",
        bool(re.search(r"\b(?:short|brief)", before, re.I)),
    )


def _is_bare_topic(said: str) -> bool:
    """Whether this is a topic by itself ("lighthouses in winter") and not small talk."""
    words = said.lower().split()
    talk = {
        "hi",
        "hello",
        "hey",
        "help",
        "thanks",
        "thank",
        "yes",
        "no",
        "ok",
        "okay",
        "what",
        "who",
        "how",
    }
    talk |= {
        "why",
        "when",
        "where",
        "can",
        "could",
        "do",
        "are",
        "is",
        "you",
        "i",
        "shorter",
        "longer",
    }
    return 0 < len(words) <= 5 and not talk & set(words) and not set(words) & set(_FORMS)


def _form(words: str) -> Form | None:
    return next((_FORMS[word] for word in re.findall(r"[a-z-]+", words) if word in _FORMS), None)


def reasoning(brief: Brief) -> str:
    kind = {
        "article": "an article with a table to compare and a small sketch in code",
        "poem": "a poem, short lines, an image in each",
        "email": "an email that says what it wants in the first line",
        "plan": "a plan with stages, each small enough to start today",
    }[brief.form]
    length = "Keep it to the essentials. " if brief.short else ""
    return (
        f"The topic is {brief.topic}. The form: {kind}. {length}"
        f"Begin with something concrete about {brief.topic}, avoid big words, end on a next step."
    )


def draft(brief: Brief) -> str:
    """The text itself, in Markdown."""
    write = {"article": _article, "poem": _poem, "email": _email, "plan": _plan}[brief.form]
    # The topic is the seed: asked twice, the writer stands by its words.
    return write(brief, random.Random(brief.topic.lower()))  # noqa: S311


def _headline(topic: str) -> str:
    return topic[:1].upper() + topic[1:]


def _article(brief: Brief, dice: random.Random) -> str:
    topic, title = brief.topic, _headline(brief.topic)
    opening = dice.choice(
        (
            f"Ask five people about {topic} and you get six answers, most of them about "
            f"themselves. That is a good sign: what leaves everybody cold has no stories.",
            f"Most of us meet {topic} by accident and stay on purpose. What looks simple from "
            f"the street turns out to have rooms, and some of the rooms have windows.",
            f"There are two ways to look at {topic}: quickly and properly. The quick look shows "
            f"what it is. The second one shows why anybody bothers.",
        )
    )
    points = dice.sample(
        (
            f"**It rewards attention.** Ten careful minutes with {topic} teach more than a day of "
            f"reading about it.",
            f"**It is older than it looks.** Whatever seems new about {topic} was argued over "
            f"long before anybody wrote it down.",
            f"**It travels well.** What you learn from {topic} helps in places that have "
            f"nothing to do with it.",
            f"**It is cheap to try.** Nothing about the first step into {topic} needs permission "
            f"or a budget.",
            f"**It has edges.** Knowing the limits of {topic} is half of knowing it.",
        ),
        3,
    )
    parts = [
        f"# {title}",
        opening,
        "## Three reasons to care",
        "\n".join(f"- {point}" for point in points),
    ]
    if not brief.short:
        slug = re.sub(r"\W+", "_", topic.lower()).strip("_") or "topic"
        if not slug[0].isalpha():
            slug = f"about_{slug}"
        hours = sorted(dice.sample(range(2, 60), 3))
        parts += [
            "## Where to begin",
            f"| Approach | What you get out of {_cell(topic)} | Hours |\n"
            "|---|---|---:|\n"
            f"| Look around | A feeling for the size of it | {hours[0]} |\n"
            f"| Do one small thing | Your first honest question | {hours[1]} |\n"
            f"| Teach a friend | The gaps you did not know of | {hours[2]} |",
            "## The same thought, as code",
            "```python\n"
            f"def learn_{slug}(minutes_a_day: int, days: int) -> str:\n"
            f'    """Small and often beats big and never."""\n'
            "    practice = minutes_a_day * days\n"
            f"    if practice >= {hours[0] * 60}:\n"
            f'        return "You have a feeling for it."\n'
            '    return "Keep going."\n'
            "```",
            "## A word of caution",
            dice.choice(
                (
                    f"> Nobody ever finished {topic}. The people who are best at it are the ones "
                    f"who stopped minding.",
                    f"> Whoever finds {topic} easy has not looked long enough, and whoever finds "
                    f"it impossible has looked at all of it at once.",
                )
            ),
        ]
    parts.append(
        dice.choice(
            (
                f"So: pick one of the three, today, and give {topic} twenty minutes.",
                f"Start small, write down what surprises you, and come back to {topic} tomorrow.",
            )
        )
    )
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _poem(brief: Brief, dice: random.Random) -> str:
    topic = brief.topic
    stanzas = dice.sample(
        (
            f"I asked the morning for {topic},\nit handed me a cup,\nhalf full of light, "
            f"half full of rain,\nand would not make it up.",
            f"They say there is an end to {topic}.\nI walked there once, alone.\nThe end had put "
            f"its kettle on\nand called it a beginning.",
            f"What do you know of {topic}, then?\nThe little that will stay:\na colour, and the "
            f"sound of it,\nthe wrong side of the day.",
            f"And if you lose it, {topic},\ndon't look where it was bright.\nGo slowly, where the "
            f"floorboards creak.\nIt comes back in the night.",
        ),
        2 if brief.short else 3,
    )
    # Two spaces before the line break: Markdown would join the lines otherwise.
    verses = "\n\n".join(stanza.replace("\n", "  \n") for stanza in stanzas)
    return f"## {_headline(topic)}\n\n{verses}"


def _email(brief: Brief, dice: random.Random) -> str:
    topic = brief.topic
    parts = [
        f"**Subject:** {_headline(topic)}",
        dice.choice(("Hello everybody,", "Dear all,", "Hi team,")),
        f"this is about **{topic}**, and I need one thing from each of you: an answer by Thursday.",
    ]
    if not brief.short:
        parts += [
            "In short:",
            f"1. **Why now.** The question of {topic} came up three times this month, each "
            f"time without a decision.\n"
            f"2. **What I suggest.** We try it for two weeks, with one person in charge.\n"
            f"3. **What it costs.** An hour each, and a little pride if it does not work.",
        ]
    parts += [
        f"If you have a better idea for {topic}, I would love to hear it. If not, a simple "
        f"“fine by me” is enough.",
        f"Best wishes  \n{dice.choice(('Robin', 'Alex', 'Kim', 'Sam'))}",
    ]
    return "\n\n".join(parts)


def _plan(brief: Brief, dice: random.Random) -> str:
    topic = brief.topic
    weeks = dice.choice((4, 6, 8))
    parts = [
        f"# A plan for {topic}",
        f"{weeks} weeks, half an hour a day. Each stage ends with something you can show.",
        "| Weeks | Stage | You have it when |\n|---|---|---|\n"
        f"| 1 | Look | you can explain {_cell(topic)} to a friend |\n"
        f"| 2 to {weeks // 2} | Try | the first attempt is embarrassing and finished |\n"
        f"| {weeks // 2 + 1} to {weeks} | Repeat | the third attempt is better than the first |",
    ]
    if not brief.short:
        parts += [
            "## This week",
            f"- [ ] Write down why you care about {topic}, in one sentence\n"
            f"- [ ] Find one person who is ahead of you with {topic}, ask one question\n"
            "- [ ] Put five half-hours into the calendar\n"
            "- [ ] Do the smallest possible version, badly",
            "## When it gets stuck",
            f"It will, around week {dice.choice((2, 3))}. Halve the step, keep the rhythm. "
            f"A day with five minutes of {topic} counts.",
        ]
    return "\n\n".join(parts)
