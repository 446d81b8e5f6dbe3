"""No page asks the database for everything."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from copilotkit_django.models import Run, Thread

from . import rows
from .conftest import page

pytestmark = pytest.mark.django_db

OURS = re.compile(r'FROM "copilotkit_(?:thread|run|segment)"')
LIMIT = re.compile(r"\bLIMIT \d+")
#: A thread's runs are counted in a bounded range of positions, in the query for the threads.
COUNTED = re.compile(
    r'\(SELECT COUNT\(U0\."id"\) AS "count" FROM "copilotkit_run" U0 WHERE '
    r'\(U0\."position" > \("copilotkit_thread"\."fence" - 1000\) '
    r'AND U0\."thread_id" = \("copilotkit_thread"\."id"\)\) GROUP BY U0\."thread_id"\)'
)


def unbounded(queries) -> list[str]:
    """The statements that read our tables without a LIMIT of their own."""
    found = []
    for query in queries:
        sql = COUNTED.sub("runs", query["sql"])
        reads = OURS.findall(sql)
        if len(LIMIT.findall(sql)) < len(reads):
            found.append(sql)
    return found


@pytest.fixture
def many_rows():
    """300 runs on one thread, some of them with raw events, and 120 threads of two owners."""
    thread = rows.a_thread("long")
    one = rows.a_run(thread)
    fields = {
        field.attname: getattr(one, field.attname)
        for field in Run._meta.concrete_fields
        if field.attname not in ("id", "position")
    }
    Run.objects.bulk_create(Run(position=number, **fields) for number in range(2, 301))
    thread.fence = 300
    thread.save()
    for run in Run.objects.order_by("-position")[:3]:
        rows.raw(run, *([event] for event in rows.everything()))
    moment = timezone.now() - timedelta(days=400)
    for number in range(120):
        rows.a_thread(f"t{number}", f"user:{number % 2}", updated_at=moment)
    return thread


@pytest.mark.parametrize(
    "url",
    [
        "thread/",
        "thread/?q=long",
        "thread/?p=3",
        "thread/?all=",
        "thread/?running=yes",
        "thread/?running=no&agent=default&archived__exact=0",
        "thread/?updated_at__year=2025",
        "thread/{thread}/change/",
        "thread/{thread}/change/?before=200",
        "thread/{thread}/change/?after=200",
        "thread/{thread}/delete/",
        "thread/{thread}/history/",
        "run/",
        "run/?p=2",
        "run/?all=",
        "run/?thread__exact={thread}&status__exact=finished",
        "run/{run}/change/",
        "run/{run}/change/?form=raw&start=5",
        "run/{run}/change/?form=compacted",
    ],
)
def test_page(admin_client, many_rows, url):
    """Every statement over threads, runs and segments has a LIMIT, and there are few of them."""
    run = Run.objects.latest("position")
    url = reverse("admin:app_list", args=["copilotkit"]) + url.format(
        thread=many_rows.pk, run=run.pk
    )

    with CaptureQueriesContext(connection) as log:
        page(admin_client, url)

    assert unbounded(log.captured_queries) == []
    assert len(log) <= 14, [query["sql"] for query in log.captured_queries]


def test_page__few_rows(admin_client):
    """Lists of one page are no exception."""
    rows.a_run(rows.a_thread())

    with CaptureQueriesContext(connection) as log:
        page(admin_client, reverse("admin:copilotkit_thread_changelist"))
        page(admin_client, reverse("admin:copilotkit_run_changelist"))

    assert unbounded(log.captured_queries) == []


@pytest.mark.parametrize("action", ["delete_selected", "export"])
def test_action(admin_client, many_rows, action):
    """Neither a question before deleting nor an export reads all there is at once."""
    chosen = Thread.objects.values_list("pk", flat=True)[:20]
    data = {"action": action, "_selected_action": [many_rows.pk, *chosen]}

    with CaptureQueriesContext(connection) as log:
        response = admin_client.post(reverse("admin:copilotkit_thread_changelist"), data)
        b"".join(response)

    assert response.status_code == 200
    assert unbounded(log.captured_queries) == []


def test_runs__counted_with_the_threads(admin_client, many_rows):
    """How many threads there are makes no difference to the number of queries."""
    url = reverse("admin:copilotkit_thread_changelist")
    with CaptureQueriesContext(connection) as many:
        shown = page(admin_client, url)
    Thread.objects.exclude(pk=many_rows.pk).delete()
    with CaptureQueriesContext(connection) as one:
        page(admin_client, url)

    assert '<td class="field-runs">300</td>' in shown
    assert len(many) == len(one)


def test_log__notices():
    """What this module looks for would be found."""
    bad = 'SELECT * FROM "copilotkit_run" WHERE 1'
    good = 'SELECT COUNT(*) FROM (SELECT 1 FROM "copilotkit_run" LIMIT 10) subquery'

    assert unbounded([{"sql": bad}, {"sql": good}]) == [bad]
