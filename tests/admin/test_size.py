"""How long the pages take where there is a lot. Printed (``-s``), not asserted."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from copilotkit_django.keys import digest_of, thread_key
from copilotkit_django.models import Run, Segment, Thread
from copilotkit_django.runners.store import lines

from . import rows
from .conftest import page

pytestmark = pytest.mark.django_db

THREADS = 100_000
EVENTS = 20_000


def timed(client, name: str, url: str) -> None:
    page(client, url)
    begin = time.perf_counter()
    shown = page(client, url)
    print(f"{name:44} {(time.perf_counter() - begin) * 1000:7.1f} ms {len(shown) / 1024:7.1f} kB")


def test_many_threads(admin_client):
    """The list of 100,000 threads, its last page, and what scans it."""
    now = timezone.now()
    Thread.objects.bulk_create(
        (
            Thread(
                scope=f"user:{number % 1000}",
                scope_key=digest_of(f"user:{number % 1000}"),
                thread_id=f"thread-{number}",
                key=thread_key(f"user:{number % 1000}", f"thread-{number}"),
                agent_id=f"agent-{number % 7}",
                name=f"About {number}",
                fence=1,
                created_at=now,
                updated_at=now - timedelta(minutes=number),
                last_run_at=now,
            )
            for number in range(THREADS)
        ),
        batch_size=5000,
    )
    url = reverse("admin:copilotkit_thread_changelist")

    print(f"\n{THREADS} threads")
    timed(admin_client, "first page", url)
    timed(admin_client, "page 200, the last one", f"{url}?p=200")
    timed(admin_client, "one agent of seven", f"{url}?agent=agent-3")
    timed(admin_client, "one day", f"{url}?updated_at__year={now.year}")
    timed(admin_client, "nothing runs", f"{url}?running=yes")
    timed(admin_client, "search, one found", f"{url}?q=thread-54321")


def test_long_run(admin_client):
    """The timeline and the conversation of a run of 20,000 events, as sent and as kept."""
    piece = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "a", "delta": "A few words. "}
    events = [rows.started("r1"), rows.text("a", "")[0]]
    events += [piece] * (EVENTS - 4) + [rows.text("a", "")[2], rows.finished("r1")]
    thread = rows.a_thread()
    run = rows.a_run(thread, events)
    Segment.objects.bulk_create(
        Segment(run=run, first=first, last=first + 24, data=lines(events[first : first + 25]))
        for first in range(0, EVENTS, 25)
    )
    url = reverse("admin:copilotkit_run_change", args=[run.pk])
    story = reverse("admin:copilotkit_thread_change", args=[thread.pk])

    print(f"\na run of {EVENTS} events")
    timed(admin_client, "timeline as sent, first page", url)
    timed(admin_client, "timeline as sent, last page", f"{url}?form=raw&start={EVENTS - 100}")
    timed(
        admin_client,
        "timeline as kept, uncompacted, last page",
        f"{url}?form=compacted&start=19900",
    )
    timed(admin_client, "conversation", story)
    Run.objects.filter(pk=run.pk).update(compacted=None, status="running", ended_at=None)
    timed(admin_client, "conversation while it is live", story)
