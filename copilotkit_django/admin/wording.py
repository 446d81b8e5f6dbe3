"""How values are put on a page: short enough, legible, and always something that can be sent."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from copilotkit_django.events.wire import decode
from copilotkit_django.models import Run

#: Stands where there is nothing to say.
NOTHING = "-"

#: A text on a page is cut after so many characters.
CHARACTERS = 10_000


def excerpt(value: Any, characters: int = CHARACTERS) -> str:
    """A text that fits on a page, and says so where it was cut."""
    # Half of an emoji may be stored but not sent.
    text = str(value)[:characters].encode(errors="replace").decode()
    left = len(str(value)) - characters
    if left <= 0:
        return text
    return text + "\n… " + ngettext("%d more character", "%d more characters", left) % left


def pretty(value: Any, characters: int = CHARACTERS) -> str:
    """A JSON value, indented."""
    return excerpt(json.dumps(value, ensure_ascii=False, indent=2), characters)


def pretty_if_json(text: Any) -> str:
    """A text that is likely to be JSON, such as a tool's arguments."""
    if not isinstance(text, str):
        return pretty(text)
    try:
        value = decode(text.encode(errors="surrogatepass"))
    except ValueError:
        return excerpt(text)
    return pretty(value) if isinstance(value, dict | list) else excerpt(text)


def moment(value: datetime) -> str:
    """A date and a time, short enough for a list. If they need two lines, the time gets one."""
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    day, space, time = formats.date_format(local, "SHORT_DATETIME_FORMAT").partition(" ")
    return day + space + time.replace(" ", "\u00a0")


def duration(run: Run) -> str:
    """How long a run took, or a dash."""
    if run.ended_at is None:
        return NOTHING
    seconds = max(0.0, (run.ended_at - run.started_at).total_seconds())
    if seconds < 60:
        return _("%s s") % formats.number_format(round(seconds, 1), 1)
    return _("%(minutes)d min %(seconds)d s") % {
        "minutes": seconds // 60,
        "seconds": seconds % 60,
    }


def tokens(run: Run) -> str:
    """How many tokens a run has reported, in and out, or a dash."""
    entries = [entry for entry in run.usage or () if isinstance(entry, dict)]
    if not entries:
        return NOTHING
    sent, received, total = (
        sum(int(entry.get(key) or 0) for entry in entries)
        for key in ("inputTokens", "outputTokens", "totalTokens")
    )
    if not sent and not received:
        return formats.number_format(total, force_grouping=True)
    return _("%(sent)s in, %(received)s out") % {
        "sent": formats.number_format(sent, force_grouping=True),
        "received": formats.number_format(received, force_grouping=True),
    }


def short_id(text: str) -> SafeString:
    """An id for a list: as much of it as tells it from others, the rest where one points at it."""
    if len(text) <= 20:
        return format_html("{}", text)
    return format_html('<span title="{}">{}…</span>', text, text[:8])


def badge(kind: str, text: Any) -> SafeString:
    """A coloured word; ``kind`` is one of ours."""
    return format_html('<span class="ck-badge ck-{}">{}</span>', kind, text)


def status_badge(run: Run) -> SafeString:
    """The status of a run."""
    return badge(run.status, run.get_status_display())
