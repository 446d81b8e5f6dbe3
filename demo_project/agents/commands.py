"""What a person may say to the to-do assistant, as data. Pure functions, no Django."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar


@dataclass(frozen=True)
class Add:
    titles: tuple[str, ...]


@dataclass(frozen=True)
class Mark:
    targets: tuple[str, ...]
    done: bool


@dataclass(frozen=True)
class Delete:
    targets: tuple[str, ...] = ()
    which: Literal["named", "done", "all"] = "named"


@dataclass(frozen=True)
class Rename:
    target: str
    title: str


@dataclass(frozen=True)
class Show:
    which: Literal["open", "done", "all"] = "open"


@dataclass(frozen=True)
class Appearance:
    accent: str | None = None
    mode: Literal["light", "dark", "system"] | None = None


@dataclass(frozen=True)
class Help:
    pass


@dataclass(frozen=True)
class Greeting:
    pass


@dataclass(frozen=True)
class Thanks:
    pass


@dataclass(frozen=True)
class Incomplete:
    """A command without its object, such as a bare "add"."""

    verb: str


@dataclass(frozen=True)
class Unknown:
    text: str = field(default="")


Command = (
    Add
    | Mark
    | Delete
    | Rename
    | Show
    | Appearance
    | Help
    | Greeting
    | Thanks
    | Incomplete
    | Unknown
)

#: Characters that are looked at. Nobody types more by hand.
LONGEST_MESSAGE = 2000

ACCENTS = {
    "blue": "blue",
    "navy": "blue",
    "indigo": "indigo",
    "violet": "violet",
    "purple": "violet",
    "lilac": "violet",
    "pink": "pink",
    "magenta": "pink",
    "rose": "pink",
    "red": "red",
    "crimson": "red",
    "orange": "orange",
    "amber": "amber",
    "yellow": "amber",
    "gold": "amber",
    "green": "green",
    "lime": "green",
    "emerald": "green",
    "teal": "teal",
    "cyan": "teal",
    "turquoise": "teal",
    "gray": "graphite",
    "grey": "graphite",
    "black": "graphite",
    "graphite": "graphite",
}
MODES: dict[str, Literal["light", "dark", "system"]] = {
    "dark": "dark",
    "night": "dark",
    "light": "light",
    "bright": "light",
    "day": "light",
    "white": "light",
    "system": "system",
    "automatic": "system",
    "auto": "system",
}

_LIST = r"(?:(?:my|the|our|a)\s+)?(?:to-?\s?do\s+)?(?:list|to-?\s?dos?|tasks?|items?)"
_ON_LIST = rf"(?:\s+(?:to|on|onto|in|into|from|off)\s+{_LIST})?"
_ALL = r"(?:all|everything|(?:all|every)(?:\s+(?:of|my|the|it|them|to-?\s?dos?|tasks?|items?))*)"
_DONE = r"(?:done|completed?|finished|ticked|checked)"
_POLITE = re.compile(
    r"^(?:(?:please|pls|ok(?:ay)?|hey|hi|hello|so|now|and|then|also|just"
    r"|(?:can|could|would|will)\s+you|i\s+want\s+you\s+to|i(?:'d|\s+would)\s+like\s+(?:you\s+)?to"
    r"|let'?s)\b[\s,:]*)+",
    re.I,
)
_QUOTED = re.compile(r"[\"“„«]([^\"“”„«»]+)[\"”“»]")


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:{pattern})$", re.I | re.S)


_HELP = _rule(
    r"help(?:\s+me)?|\?|what\s+can\s+(?:you|i)\s+(?:do|say).*|commands?|how\s+does\s+this\s+work"
)
_GREETING = _rule(
    r"(?:hi|hello|hey|hiya|howdy|good\s+(?:morning|afternoon|evening|day)|greetings|moin|yo)"
    r"(?:\s+(?:there|you|all|again))?"
)
_THANKS = _rule(r"(?:thanks|thank\s+you|thx|cheers|great|cool|nice|perfect|awesome)(?:\s+.{0,20})?")
_RENAME = _rule(
    r"(?:rename|reword|rephrase)\s+(?P<target>.+?)\s+(?:to|into|as|->|→)\s+(?P<title>.+)"
    r"|(?:change|edit)\s+(?P<target2>.+?)\s+(?:to|into|->|→)\s+(?P<title2>.+)"
)
_DELETE_DONE = _rule(
    rf"(?:delete|remove|clear|drop|erase|purge)\s+(?:away\s+)?(?:out\s+)?"
    rf"(?:(?:all|everything|the|my|that|which|is|are|of)\s+)*{_DONE}"
    rf"(?:\s+(?:ones?|things?|to-?\s?dos?|tasks?|items?|entries))?|clean\s*up|tidy(?:\s+up)?"
)
_DELETE_ALL = _rule(
    rf"(?:delete|remove|clear|drop|erase|empty|purge)\s+(?:{_ALL}|{_LIST}|the\s+lot)|start\s+over"
)
_DELETE = _rule(
    rf"(?:delete|remove|drop|erase|clear|forget(?:\s+about)?)\s+(?P<targets>.+?){_ON_LIST}"
)
_REOPEN = _rule(
    r"(?:re-?open|undo|uncheck|untick|un-?mark|restore)\s+(?P<a>.+)"
    r"|mark\s+(?P<b>.+?)\s+(?:as\s+)?(?:open|undone|not\s+done|to\s?do|unfinished)"
    r"|(?P<c>.+?)\s+(?:is|are)\s+(?:not\s+done|n't\s+done|open)(?:\s+(?:again|yet|after\s+all))?"
)
_COMPLETE = _rule(
    r"(?:done|did|finish|finished|complete|completed)(?:\s+with)?[\s:]+(?P<a>.+)"
    r"|(?:check|tick|cross)\s+(?:off\s+)?(?P<b>.+?)(?:\s+off)?"
    r"|mark\s+(?P<c>.+?)\s+(?:as\s+)?(?:done|complete[d]?|finished)"
    r"|(?P<d>.+?)\s+(?:is|are)\s+(?:done|complete[d]?|finished)"
    r"|i(?:'ve|\s+have)?\s+(?:did|done|finished|completed)\s+(?P<e>.+)"
    r"|(?P<f>.+?)\s+done"
)
_SHOW_DONE = _rule(
    rf"(?:what(?:'s|\s+is|\s+are|\s+have\s+i|\s+did\s+i)|show|list|which\s+(?:ones\s+)?are)"
    rf"\s+(?:me\s+)?(?:all\s+)?(?:the\s+|my\s+)?{_DONE}(?:\s+\w+)?(?:\s+already)?"
)
_SHOW_ALL = _rule(
    rf"(?:show|list|see|display|print|give\s+me)\s+(?:me\s+)?(?:{_ALL}|{_LIST})|{_LIST}"
    rf"|what(?:'s|\s+is)\s+(?:on|in)\s+{_LIST}|show(?:\s+me)?|what\s+do\s+i\s+have"
)
_SHOW_OPEN = _rule(
    r"what(?:'s|s|\s+is|\s+are|\s+else\s+is)?\s+(?:\w+\s+)?(?:still\s+)?(?:open|left|missing|next|pending|remaining|up|to\s?do)"
    r"(?:\s+.{0,30})?|(?:show|list)\s+(?:me\s+)?(?:what(?:'s|\s+is)\s+|all\s+|my\s+|the\s+)*(?:open|left|pending)(?:\s+\w+)?"
    r"|open|what\s+(?:do|must|should)\s+i\s+(?:have\s+to\s+|need\s+to\s+|still\s+)*do.{0,20}"
    r"|how\s+(?:many|much).{0,40}|what\s+now|anything\s+(?:left|open|else).{0,20}"
)
_ADD = _rule(
    rf"(?:add|create|put|note(?:\s+down)?|write\s+down|new|append|insert)[\s:,-]+"
    rf"(?:(?:an?\s+|the\s+)?(?:new\s+)?(?:to-?\s?do|task|item|entry)s?\b(?:\s+(?:to|for|called|named))?[\s:,-]*)?"
    rf"(?P<a>.+?){_ON_LIST}"
    r"|(?:remind\s+me|remember|don'?t\s+(?:let\s+me\s+)?forget)\s+(?:to\s+|about\s+|that\s+)?(?P<b>.+)"
    r"|i\s+(?:also\s+)?(?:need|have|must|want|should|ought)\s+(?:to\s+)?(?P<c>.+)"
    r"|(?:to-?\s?do|task)\s*[:\-]\s*(?P<d>.+)"
)
_ADD_TOO = re.compile(r"^(?:also\s+|then\s+)*(?:add|create|put|note(?:\s+down)?|new)\s+", re.I)
_BARE = {
    "add": "add",
    "new": "add",
    "create": "add",
    "done": "done",
    "finish": "done",
    "complete": "done",
    "check": "done",
    "delete": "delete",
    "remove": "delete",
    "clear": "delete",
    "rename": "rename",
    "change": "rename",
}
_LOOK_TARGET = (
    r"(?:(?:the|this|my|your)\s+)?(?:page|site|app|screen|theme|colou?rs?|accent(?:\s+colou?r)?"
    r"|background|design|mode|look|ui|it|everything|things?)"
)
_PLAIN_LOOK = _rule(
    r"(?:make|turn|paint|colou?r|set|switch|change|dye)\s+(?:the|this)\s+"
    r"(?:page|site|theme|background|accent|colou?rs?)(?:\s+.*)?"
)
_LOOK = _rule(
    rf"(?:make|turn|paint|colou?r|set|switch|change|have|put|dye|go)\s+(?:{_LOOK_TARGET}\s+)*"
    rf"(?:(?:to|on|in|into|be|look|use|go|a|the|back)\s+)*(?P<a>.+?)"
    rf"(?:\s+(?:mode|theme|colou?rs?|accent|please|again))*"
    r"|(?:use|give\s+me|i\s+(?:like|want|prefer))\s+(?:a\s+|the\s+|some\s+)?(?P<c>.+?)"
    r"(?:\s+(?:mode|theme|colou?rs?|accent|page))*"
    r"|(?P<b>.+?)\s+(?:mode|theme|accent|page)(?:\s+please)?"
)


def parse(text: str) -> Command:
    """Turn what somebody typed into a command; never fails, `Unknown` is an answer too."""
    said = (
        re.sub(r"[ \t]+", " ", text[:LONGEST_MESSAGE].replace("\u2019", "'"))
        .strip()
        .strip("!?. \t\n")
    )
    if _GREETING.match(said):
        return Greeting()
    if not said and "?" in text:
        return Help()
    said = _POLITE.sub("", said).rstrip("!?., \n")
    said = re.sub(r"[\s,]+(?:please|pls|thanks|thank you|for me)$", "", said, flags=re.I)
    if not said:
        return Unknown(text.strip())
    if verb := _BARE.get(said.lower()):
        return Incomplete(verb)
    return _match(said)


def _match(said: str) -> Command:
    if _HELP.match(said):
        return Help()
    if look := _appearance(said):
        return look
    if _PLAIN_LOOK.match(said):
        return Incomplete("paint")
    if _SHOW_OPEN.match(said):
        return Show("open")
    if _SHOW_DONE.match(said):
        return Show("done")
    if _SHOW_ALL.match(said):
        return Show("all")
    if _DELETE_DONE.match(said):
        return Delete(which="done")
    if _DELETE_ALL.match(said):
        return Delete(which="all")
    if found := _RENAME.match(said):
        target, title = (group for group in found.groups() if group)
        return Rename(_bare(target), _title(title))
    if found := _REOPEN.match(said):
        return Mark(_targets(_first(found)), done=False)
    # Before the loose "... done" forms, so that "add get things done" adds.
    if found := _ADD.match(said):
        return Add(_titles(_first(found)))
    if found := _DELETE.match(said):
        return Delete(_targets(_first(found)))
    if found := _COMPLETE.match(said):
        return Mark(_targets(_first(found)), done=True)
    if _THANKS.match(said):
        return Thanks()
    return Unknown(said)


def _appearance(said: str) -> Appearance | None:
    """Read a wish about colours. A sentence with other words in it is something else."""
    found = _LOOK.match(said)
    wish = _first(found) if found else said
    words = [word for word in re.split(r"[\s,&]+", wish.lower()) if word]
    fillers = {
        "and",
        "the",
        "a",
        "mode",
        "theme",
        "with",
        "nice",
        "accent",
        "page",
        "colour",
        "color",
    }
    accent = next((ACCENTS[word] for word in words if word in ACCENTS), None)
    mode = next((MODES[word] for word in words if word in MODES), None)
    if not (accent or mode):
        return None
    if any(word not in ACCENTS and word not in MODES and word not in fillers for word in words):
        return None
    # A lone "system" or "day" is more likely a to-do than a wish.
    if not found and not accent and mode != "dark":
        return None
    return Appearance(accent=accent, mode=mode)


def _first(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group)


def _titles(text: str) -> tuple[str, ...]:
    return tuple(title for part in _split(text) if (title := _title(_ADD_TOO.sub("", part))))


def _targets(text: str) -> tuple[str, ...]:
    return tuple(target for part in _split(text) if (target := _bare(part)))


def _split(text: str) -> list[str]:
    """Split an enumeration. What stands in quotation marks stays in one piece."""
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[1])
        return f"\0{len(kept) - 1}\0"

    hidden = _QUOTED.sub(keep, text)
    parts = re.split(r"\s*(?:[,;\n]+\s*(?:and\s+|&\s*)?|\s+and\s+|\s+&\s+|\s+plus\s+)\s*", hidden)
    return [
        re.sub(r"\0(\d+)\0", lambda found: kept[int(found[1])], part).strip()
        for part in parts
        if part.strip()
    ]


def _title(text: str) -> str:
    title = re.sub(r"\s+", " ", text).strip(" \"“”'.,;:")
    return title[:1].upper() + title[1:]


def _bare(text: str) -> str:
    """A reference without what only decorates it: "the todo #2" is "2"."""
    text = text.strip(" \"“”'.,;:")
    return re.sub(
        r"^(?:the\s+|my\s+)?(?:(?:to-?\s?do|task|item|number|no\.?|nr\.?)\s+)?#?\s*",
        "",
        text,
        flags=re.I,
    ).strip()


class _Titled(Protocol):
    title: str
    done: bool


T = TypeVar("T", bound=_Titled)


class Found(NamedTuple, Generic[T]):
    """What references mean in a given list."""

    items: list[T]
    missing: list[str]
    ambiguous: dict[str, list[T]]


def find(targets: tuple[str, ...], items: list[T], *, prefer_done: bool | None = None) -> Found[T]:
    """Look up references: numbers as the page shows them, else the closest title.

    With `prefer_done`, "all" means the entries in that state, and among several that fit
    a name those in that state win.
    """
    chosen: list[T] = []
    missing: list[str] = []
    ambiguous: dict[str, list[T]] = {}
    for target in targets:
        if re.fullmatch(_ALL, target, re.I):
            return Found([i for i in items if prefer_done in (None, i.done)], [], {})
        candidates = _candidates(target, items)
        if len(candidates) > 1 and prefer_done is not None:
            candidates = [item for item in candidates if item.done == prefer_done] or candidates
        if len({item.title.casefold() for item in candidates}) > 1:
            ambiguous[target] = candidates
        elif candidates:
            chosen += [item for item in candidates if item not in chosen]
        else:
            missing.append(target)
    return Found(chosen, missing, ambiguous)


def _candidates(target: str, items: list[T]) -> list[T]:
    wanted = target.casefold()
    if wanted.isdecimal() and 0 < int(wanted) <= len(items):
        return [items[int(wanted) - 1]]
    words = wanted.split()
    for fits in (
        lambda title: title == wanted,
        lambda title: title.startswith(wanted),
        lambda title: all(word in title.split() for word in words),
        lambda title: wanted in title,
    ):
        if matching := [item for item in items if fits(item.title.casefold())]:
            return matching
    close = get_close_matches(wanted, [item.title.casefold() for item in items], n=1, cutoff=0.7)
    return [item for item in items if item.title.casefold() in close]
