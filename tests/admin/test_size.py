"""How long the pages take where there is a lot: printed (``-s``), not asserted. None of
their statements is without a bound."""

from __future__ import annotations

import os
import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from copilotkit_django.models import Run

from .conftest import page
from .many import id_of, long_run, many_threads
from .test_bounds import unbounded

pytestmark = pytest.mark.django_db

#: As the browser's test of a busy site has it.
IS_LONG = os.environ.get("ADMIN") == "long"
THREADS = 100_000 if IS_LONG else 20_000
EVENTS = 20_000


def timed(client, name: str, url: str) -> None:
    with CaptureQueriesContext(connection) as log:
        page(client, url)
    assert unbounded(log.captured_queries) == []
    begin = time.perf_counter()
    shown = page(client, url)
    print(f"{name:44} {(time.perf_counter() - begin) * 1000:7.1f} ms {len(shown) / 1024:7.1f} kB")


def test_many_threads(admin_client):
    """The list of very many threads, its last page, and what scans it."""
    many_threads(THREADS)
    url = reverse("admin:copilotkit_thread_changelist")

    print(f"\n{THREADS} threads")
    timed(admin_client, "first page", url)
    timed(admin_client, "page 200, the last there is", f"{url}?p=200")
    timed(admin_client, "one agent of seven", f"{url}?agent=todo")
    timed(admin_client, "one day", f"{url}?updated_at__year={timezone.now().year}")
    timed(admin_client, "nothing runs", f"{url}?running=yes")
    timed(admin_client, "search, one found", f"{url}?q={id_of(THREADS // 2)}")


def test_long_run(admin_client):
    """The timeline and the conversation of a run of 20,000 events, as sent and as kept."""
    run = long_run(EVENTS)
    url = reverse("admin:copilotkit_run_change", args=[run.pk])
    story = reverse("admin:copilotkit_thread_change", args=[run.thread_id])

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
    timed(admin_client, "conversation of the live run", story)
