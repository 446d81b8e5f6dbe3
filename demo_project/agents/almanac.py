"""What the almanac knows: dates, weekdays, times. Pure functions, no Django."""

from __future__ import annotations

import re
from calendar import isleap
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_MONTH = {name: n for n, name in enumerate(_MONTHS, start=1)}
_MONTH |= {name[:3]: n for name, n in _MONTH.items()} | {"sept": 9}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMED_MONTH = "|".join(sorted(_MONTH, key=len, reverse=True))

_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_DOTTED = re.compile(r"\b(\d{1,2})\.(\d{1,2})\.(\d{4})\b")
_DAY_MONTH = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?({_NAMED_MONTH})\b\.?(?:,?\s+(\d{{4}}))?", re.I
)
_MONTH_DAY = re.compile(
    rf"\b({_NAMED_MONTH})\b\.?\s+(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(\d{{4}}))?", re.I
)
_FEASTS = re.compile(
    r"\b(christmas(?:\s+eve)?|new\s+year(?:'?s)?(?:\s+(?:eve|day))?|halloween|easter|valentine'?s?(?:\s+day)?)"
    r"(?:\s+(?:of\s+|in\s+)?(\d{4}))?\b",
    re.I,
)
_ASKS_TIME = re.compile(
    r"\b(?:what\s+time|what(?:'s|\s+is)\s+the\s+time|(?:current|local)?\s*time\s+(?:in|at)\b|how\s+late"
    r"|what\s+hour)(?:(?:.*?\b(?:in|at))?\s+(?P<place>(?!is\b|it\b)[\w' .-]+?))?"
    r"(?:\s+is\s+it|\s+now)*[?!. ]*$"
)
_UNITS = {"day": 1, "week": 7, "fortnight": 14}

HELP = """\
I am the almanac, and I live behind an HTTP endpoint of my own. Ask me things like

- what weekday was 20 July 1969?
- how many days until Christmas?
- days between 2026-03-01 and 2026-09-15
- what is 100 days from now?
- what time is it in Tokyo?
- when is Easter 2027?
- is 2028 a leap year?
- which week is it?
"""


def answer(question: str, now: datetime) -> str:
    """A sentence or two. `now` is aware, in the asker's time zone."""
    said = re.sub(r"\s+", " ", question[:500].replace("\u2019", "'")).strip().lower()
    for reply in (_time, _leap_year, _easter, _shift, _between, _until, _age, _week, _weekday):
        if text := reply(said, now):
            return text
    return HELP


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar."""
    golden, century = year % 19, year // 100
    moon = (century - century // 4 - (8 * century + 13) // 25 + 19 * golden + 15) % 30
    moon -= (moon // 28) * (1 - (29 // (moon + 1)) * ((21 - golden) // 11))
    sunday = (year + year // 4 + moon + 2 - century + century // 4) % 7
    offset = moon - sunday
    month = 3 + (offset + 40) // 44
    return date(year, month, offset + 28 - 31 * (month // 4))


def dates(said: str, today: date) -> list[date]:
    """The dates named in a sentence, in order. Without a year the next such day is meant."""
    found: list[tuple[int, date]] = []
    for pattern, order in (
        (_ISO, "ymd"),
        (_DOTTED, "dmy"),
        (_DAY_MONTH, "dmy"),
        (_MONTH_DAY, "mdy"),
    ):
        for match in pattern.finditer(said):
            parts = dict(zip(order, match.groups(), strict=True))
            month = _MONTH.get(parts["m"].lower()) or int(parts["m"])
            year = int(parts["y"]) if parts["y"] else None
            if day := _date(year, month, int(parts["d"]), today):
                found.append((match.start(), day))
    for match in _FEASTS.finditer(said):
        found.append((match.start(), _feast(match[1], match[2], today)))
    for word, shift in (("today", 0), ("tomorrow", 1), ("yesterday", -1)):
        if match := re.search(rf"\b{word}\b", said):
            found.append((match.start(), today + timedelta(days=shift)))
    if match := re.search(rf"\b(?:next\s+)?({'|'.join(_WEEKDAYS)})\b", said):
        ahead = (_WEEKDAYS.index(match[1]) - today.weekday() - 1) % 7 + 1
        found.append((match.start(), today + timedelta(days=ahead)))
    return [day for _, day in sorted(found)]


def _date(year: int | None, month: int, day: int, today: date) -> date | None:
    # 29 February may be up to eight years away.
    for candidate in [year] if year is not None else range(today.year, today.year + 9):
        try:
            named = date(candidate, month, day)
        except ValueError:
            continue
        if year is not None or named >= today:
            return named
    return None


def _feast(name: str, year: str | None, today: date) -> date:
    name = re.sub(r"\s+", " ", name.lower())

    def in_year(number: int) -> date:
        if name == "easter":
            return easter(number)
        if name.startswith("christmas"):
            return date(number, 12, 24 if "eve" in name else 25)
        if name.startswith("new year"):
            return date(number, 12, 31) if "eve" in name else date(number, 1, 1)
        return date(number, 10, 31) if name == "halloween" else date(number, 2, 14)

    if year:
        return in_year(max(1, int(year)))
    this_year = in_year(today.year)
    return this_year if this_year >= today else in_year(today.year + 1)


@cache
def _places() -> dict[str, str]:
    """City names of the time zone database. The shortest zone name wins a tie."""
    zones = sorted(available_timezones(), key=len, reverse=True)
    return {
        zone.rpartition("/")[2].replace("_", " ").lower(): zone for zone in zones if "/" in zone
    }


def _time(said: str, now: datetime) -> str | None:
    found = _ASKS_TIME.search(said)
    if not found:
        return None
    place = found["place"]
    if not place:
        return f"It is **{now:%H:%M}** where you are ({now.tzname() or 'local time'})."
    zone = {"utc": "UTC", "gmt": "UTC"}.get(place) or _places().get(place)
    try:
        there = now.astimezone(ZoneInfo(zone)) if zone else None
    except ZoneInfoNotFoundError:
        there = None
    if there is None:
        return f"I have no clock in {place.title()}. Is there a larger city near it?"
    name = "UTC" if zone == "UTC" else place.title()
    difference = (there.utcoffset() or timedelta()) - (now.utcoffset() or timedelta())
    hours = difference.total_seconds() / 3600
    relation = (
        f"{abs(hours):g} h {'ahead of' if hours > 0 else 'behind'} you"
        if hours
        else "same as yours"
    )
    return f"In {name} it is **{there:%H:%M}** on {_weekday_name(there.date())} ({relation})."


def _leap_year(said: str, now: datetime) -> str | None:
    if "leap" not in said:
        return None
    found = re.search(r"\b(\d{1,4})\b", said)
    year = int(found[1]) if found else now.year
    after = next(y for y in range(year + 1, year + 9) if isleap(y))
    if isleap(year):
        return f"Yes, **{year}** is a leap year: February has 29 days. The next one is {after}."
    return f"No, **{year}** is not a leap year. The next one is {after}."


def _easter(said: str, now: datetime) -> str | None:
    if "easter" not in said or re.search(r"\b(?:until|till|to|between|since)\b", said):
        return None
    return f"Easter Sunday is **{_long(dates(said, now.date())[0])}**."


def _shift(said: str, now: datetime) -> str | None:
    found = re.search(
        r"\b(\d{1,6}|an?|one)\s+(day|week|fortnight)s?\s+(?P<way>from|after|ago|before|later)\b(?P<rest>.*)",
        said,
    ) or re.search(r"\bin\s+(\d{1,6}|an?|one)\s+(day|week|fortnight)s?\b(?P<way>)(?P<rest>)", said)
    if not found:
        return None
    count = int(found[1]) if found[1].isdecimal() else 1
    days = count * _UNITS[found[2]] * (-1 if found["way"] in {"ago", "before"} else 1)
    named = dates(found["rest"], now.date())
    start = named[0] if named else now.date()
    try:
        end = start + timedelta(days=days)
    except OverflowError:
        return "That is beyond the calendars I know."
    verb = "will be" if end > now.date() else "was" if end < now.date() else "is"
    return f"That {verb} **{_long(end)}**."


def _between(said: str, now: datetime) -> str | None:
    named = dates(said, now.date())
    if len(named) < 2 or not re.search(r"\b(?:between|from|to|until|and)\b", said):
        return None
    days = abs((named[1] - named[0]).days)
    return f"From {_long(named[0])} to {_long(named[1])}: **{_count(days)}**{_in_weeks(days)}."


def _until(said: str, now: datetime) -> str | None:
    named = dates(said, now.date())
    if not named or not re.search(
        r"\b(?:until|till|to|left|before|since|how\s+(?:long|many|far))\b", said
    ):
        return None
    days = (named[0] - now.date()).days
    if days == 0:
        return f"That is today, **{_long(named[0])}**!"
    if days < 0:
        return f"**{_count(-days)}** have passed since {_long(named[0])}{_in_weeks(-days)}."
    return f"**{_count(days)}** until {_long(named[0])}{_in_weeks(days)}."


def _age(said: str, now: datetime) -> str | None:
    named = dates(said, now.date())
    if not named or not re.search(r"\b(?:old|born|age|birthday)\b", said) or named[0] > now.date():
        return None
    born, today = named[0], now.date()
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return f"Born on {_long(born)}: **{years} years** old, or {_count((today - born).days)}."


def _week(said: str, now: datetime) -> str | None:
    if not re.search(r"\bweek(?:\s+number)?\b", said):
        return None
    named = dates(said, now.date())
    day = named[0] if named else now.date()
    year, week, _ = day.isocalendar()
    return f"{_long(day)} is in **week {week}** of {year} (ISO)."


def _weekday(said: str, now: datetime) -> str | None:
    named = dates(said, now.date())
    if not named and not re.search(r"\b(?:day|date|weekday|today|calendar)\b", said):
        return None
    day = named[0] if named else now.date()
    verb = "will be" if day > now.date() else "was" if day < now.date() else "is"
    number = day.timetuple().tm_yday
    return f"{_plain(day)} {verb} a **{_weekday_name(day)}**, day {number} of the year."


def _weekday_name(day: date) -> str:
    return _WEEKDAYS[day.weekday()].title()


def _plain(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1].title()} {day.year}"


def _long(day: date) -> str:
    return f"{_weekday_name(day)}, {_plain(day)}"


def _count(days: int) -> str:
    return f"{days:,} day{'' if days == 1 else 's'}"


def _in_weeks(days: int) -> str:
    weeks, rest = divmod(days, 7)
    if weeks < 2:
        return ""
    return f", {weeks:,} weeks" + (f" and {_count(rest)}" if rest else "")
