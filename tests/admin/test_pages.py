"""What the pages show, to whom."""

from __future__ import annotations

import html
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from copilotkit_django.admin import conversation, listing, timeline
from copilotkit_django.models import Run

from . import rows
from .conftest import page

pytestmark = pytest.mark.django_db

THREADS = reverse("admin:copilotkit_thread_changelist")
RUNS = reverse("admin:copilotkit_run_changelist")


def conversation_url(thread) -> str:
    return reverse("admin:copilotkit_thread_change", args=[thread.pk])


def run_url(run) -> str:
    return reverse("admin:copilotkit_run_change", args=[run.pk])


def usage(sent, received):
    return [{"inputTokens": sent, "outputTokens": received, "totalTokens": sent + received}]


class TestThreads:
    def test_list(self, admin_client):
        """A line per thread: its id, name, owner, agent and number of runs."""
        owner = User.objects.create_user("alice")
        thread = rows.a_thread("lunch", name="Where to eat", user=owner, agent_id="cook")
        for _ in range(3):
            rows.a_run(thread)

        shown = page(admin_client, THREADS)

        for text in ("lunch", "Where to eat", "alice", "cook", '<td class="field-runs">3</td>'):
            assert text in shown

    def test_badges(self, admin_client):
        """What runs now, what has lost its process and what is archived can be told apart."""
        soon = int(datetime.now(UTC).timestamp() * 1000) + 60_000
        rows.a_thread("now", holder="h", lease_expires=soon)
        rows.a_thread("dead", holder="h", lease_expires=1)
        rows.a_thread("old", archived=True)

        shown = page(admin_client, THREADS)

        for kind in ("live", "lost", "archived"):
            assert shown.count(f'class="ck-badge ck-{kind}"') == 1

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("running=yes", {"now"}),
            ("running=no", {"cooked", "old"}),
            ("agent=cook", {"cooked"}),
            ("archived__exact=1", {"old"}),
            ("q=cooked", {"cooked"}),
            ("q=Goulash", {"cooked"}),
            ("q=alice", {"old"}),
            ("q=anon:x", {"now"}),
            ("updated_at__year=2024&updated_at__month=2&updated_at__day=29", {"old"}),
            ("last_run_at__isnull=True", {"now"}),
        ],
    )
    def test_filters(self, admin_client, query, found):
        """Threads are found by what they do, whose they are, what they are called, and when."""
        soon = int(datetime.now(UTC).timestamp() * 1000) + 60_000
        alice = User.objects.create_user("alice")
        leap_day = datetime(2024, 2, 29, 12, tzinfo=UTC)
        rows.a_thread("now", "anon:x", holder="h", lease_expires=soon, last_run_at=None)
        rows.a_thread("cooked", agent_id="cook", name="Goulash")
        rows.a_thread("old", archived=True, user=alice, updated_at=leap_day)

        response = admin_client.get(f"{THREADS}?{query}")

        assert {thread.thread_id for thread in response.context["cl"].result_list} == found

    @pytest.mark.parametrize(
        ("query", "choices"),
        [
            ("", ["2026", "2025", "2024"]),
            ("?updated_at__year=2026", ["January 2026", "February 2026"]),
            ("?updated_at__year=2026&updated_at__month=2", ["February 1", "February 2"]),
            ("?updated_at__year=2026&updated_at__month=2&updated_at__day=2", ["February 2"]),
        ],
    )
    def test_dates(self, admin_client, query, choices):
        """From years to months to days, between the first and the last thread."""
        for year, month, day in ((2024, 3, 5), (2026, 1, 1), (2026, 2, 1), (2026, 2, 2)):
            moment = datetime(year, month, day, 12, tzinfo=UTC)
            rows.a_thread(f"{year}-{month}-{day}", updated_at=moment)

        response = admin_client.get(f"{THREADS}{query}", follow=True)

        assert [each["title"] for each in response.context["cl"].dates["choices"]] == choices

    @pytest.mark.parametrize("query", ["updated_at__month=77", "updated_at__year=x", "p=x"])
    def test_dates__by_hand(self, admin_client, query):
        """An address that makes no sense leads to the list."""
        rows.a_thread()

        assert admin_client.get(f"{THREADS}?{query}", follow=True).status_code == 200

    def test_list__many(self, admin_client, monkeypatch):
        """Threads are counted up to a bound, and the page says that there are more."""
        monkeypatch.setattr(listing, "LISTED", 5)
        for number in range(7):
            rows.a_thread(f"t{number}")

        shown = page(admin_client, THREADS)

        assert "Only the first 5 are counted" in shown

    def test_list__select_all(self, admin_client):
        """Nobody deletes everything with two clicks."""
        for number in range(60):
            rows.a_thread(f"t{number}")

        assert "Select all 60" not in page(admin_client, THREADS)

    def test_unknown(self, admin_client):
        """A thread that is gone leads back to the list."""
        response = admin_client.get(reverse("admin:copilotkit_thread_change", args=[99]))

        assert response.status_code == 302
        assert response.url == THREADS

    def test_no_permission(self, staff):
        """Being let into the admin is not being let in here."""
        thread = rows.a_thread()
        run = rows.a_run(thread)
        client = staff()
        User.objects.get().user_permissions.clear()

        for url in (THREADS, RUNS, conversation_url(thread), run_url(run)):
            assert client.get(url).status_code == 403

    def test_add_and_change(self, admin_client):
        """Even a superuser cannot write what only a runner writes."""
        thread = rows.a_thread()

        assert admin_client.get(reverse("admin:copilotkit_thread_add")).status_code == 403
        assert admin_client.get(reverse("admin:copilotkit_run_add")).status_code == 403
        page(admin_client, conversation_url(thread))
        admin_client.post(conversation_url(thread), {"name": "changed"})
        thread.refresh_from_db()
        assert thread.name == ""


class TestConversation:
    def test_everything(self, admin_client):
        """Messages, reasoning, tool calls with results, activities, interrupts and state."""
        thread = rows.a_thread(name="a name")
        rows.a_run(thread, rows.everything(), usage=usage(1200, 34))

        shown = html.unescape(page(admin_client, conversation_url(thread)))

        for text in (
            "a name",
            "question secret",
            "image, image/png",
            "thought secret",
            "answer secret",
            "tool-secret",
            '"argument": "secret"',
            '"result": "secret"',
            "PLAN secret",
            "may I secret",
            '"state": "secret"',
            "2.5 s",
            "1,200 in, 34 out",
        ):
            assert text in shown
        assert "AAAA" not in shown

    def test_history__told_once(self, admin_client):
        """A snapshot of the whole conversation does not tell it again."""
        thread = rows.a_thread()
        rows.a_run(thread, rows.asked_and_answered("r1", "first question", "first answer"))
        messages = [
            {"id": "r1-u", "role": "user", "content": "first question"},
            {"id": "r1-a", "role": "assistant", "content": "first answer"},
            {"id": "r2-a", "role": "assistant", "content": "second answer"},
        ]
        snapshot = {"type": "MESSAGES_SNAPSHOT", "messages": messages}
        rows.a_run(thread, [rows.started("r2"), snapshot, rows.finished("r2")])

        shown = page(admin_client, conversation_url(thread))

        for text in ("first question", "first answer", "second answer"):
            assert shown.count(text) == 1

    def test_result__in_a_later_run(self, admin_client):
        """What the browser answered to a tool call stands beside the call."""
        thread = rows.a_thread()
        asked = rows.call("c1", "approve", "{}", "a1")
        rows.a_run(thread, [rows.started("r1"), *asked, rows.finished("r1")])
        result = {"id": "m9", "role": "tool", "toolCallId": "c1", "content": "approved"}
        rows.a_run(thread, [rows.started("r2", result), rows.finished("r2")])

        shown = page(admin_client, conversation_url(thread))

        assert "none yet" not in shown
        assert shown.index("approve</code>") < shown.index("<pre>approved</pre>")

    def test_live_run(self, admin_client):
        """Of a run that is under way, what is stored of it."""
        thread = rows.a_thread()
        run = rows.a_run(thread, status=Run.Status.RUNNING, compacted=None, ended_at=None)
        start = rows.started("r1", {"id": "u", "role": "user", "content": "live question"})
        rows.raw(run, [start], rows.text("a", "half an ans")[:2])

        shown = page(admin_client, conversation_url(thread))

        assert "live question" in shown
        assert "half an ans" in shown
        assert "ck-badge ck-running" in shown

    def test_pages(self, admin_client):
        """The latest runs first, older and newer ones behind links."""
        thread = rows.a_thread()
        for number in range(1, 26):
            answer = f"answer {number}."
            rows.a_run(thread, rows.asked_and_answered(f"r{number}", answer=answer))
        url = conversation_url(thread)

        latest = page(admin_client, url)
        older = page(admin_client, f"{url}?before=16")
        newer = page(admin_client, f"{url}?after=15")

        assert "answer 25." in latest
        assert "answer 15." not in latest
        assert "?before=16" in latest
        assert "answer 6." in older
        assert "?before=6" in older
        assert "?after=15" in older
        assert "answer 25." in newer

    def test_superseded(self, admin_client):
        """A run that another one took the place of is no part of the conversation."""
        thread = rows.a_thread()
        rows.a_run(thread, status=Run.Status.SUPERSEDED)

        assert "No runs." in page(admin_client, conversation_url(thread))

    def test_long(self, admin_client, monkeypatch):
        """A text longer than a book is cut, and so is a run of more events than can be read."""
        monkeypatch.setattr(conversation, "EVENTS", 4)
        thread = rows.a_thread()
        rows.a_run(thread, rows.asked_and_answered("r1", question="x" * 50_000))

        shown = page(admin_client, conversation_url(thread))

        assert "40000 more characters" in shown
        assert "This run has more events" in shown

    def test_half_an_emoji(self, admin_client):
        """What can be stored but not sent as UTF-8 does not break the page."""
        thread = rows.a_thread()
        run = rows.a_run(thread, rows.asked_and_answered("r1", answer="half \ud83d"))

        assert "half ?" in page(admin_client, conversation_url(thread))
        assert "half ?" in page(admin_client, run_url(run))


class TestRuns:
    def test_list(self, admin_client):
        """Status, agent, duration, tokens, and a link to the thread."""
        thread = rows.a_thread("lunch")
        rows.a_run(thread, agent_id="cook", usage=usage(10, 5))
        rows.a_run(thread, status=Run.Status.FAILED, error="It broke.")

        shown = page(admin_client, RUNS)

        for text in ("cook", "2.5 s", "10 in, 5 out", ">failed<", ">r2<", conversation_url(thread)):
            assert text in shown
        assert ">r2<" not in page(admin_client, f"{RUNS}?status__exact=finished")
        assert page(admin_client, f"{RUNS}?thread__exact={thread.pk}").count("cook") >= 1

    def test_timeline__as_sent(self, admin_client, monkeypatch):
        """Raw events while they are kept, page by page, whatever pieces they are stored in."""
        monkeypatch.setattr(timeline, "EVENTS", 10)
        run = rows.a_run(rows.a_thread(), event_count=25)
        events = [{"type": "CUSTOM", "name": f"event {number}."} for number in range(25)]
        rows.raw(run, events[:4], events[4:17], events[17:])

        first = page(admin_client, run_url(run))
        last = page(admin_client, f"{run_url(run)}?form=raw&start=20")

        assert "1 to 10 of 25" in first
        assert "event 9." in first
        assert "event 10." not in first
        assert "21 to 25 of 25" in last
        assert "event 24." in last

    def test_timeline__as_kept(self, admin_client):
        """The compacted events of a run whose raw ones are gone."""
        run = rows.a_run(rows.a_thread(), rows.everything())

        shown = page(admin_client, run_url(run))

        assert "REASONING_MESSAGE_CONTENT" in shown
        assert "custom secret" in shown
        assert "As sent" not in shown

    @pytest.mark.parametrize("start", ["x", "-5", "999999999999999999999", ""])
    def test_timeline__strange_place(self, admin_client, start):
        """An address typed by hand leads to some page."""
        run = rows.a_run(rows.a_thread())

        assert "RUN_" in page(admin_client, f"{run_url(run)}?start={start}")

    def test_links(self, admin_client):
        """From a run to its thread and its neighbours, and from the thread to its runs."""
        thread = rows.a_thread()
        runs = [rows.a_run(thread) for _ in range(3)]

        shown = page(admin_client, run_url(runs[1]))
        story = page(admin_client, conversation_url(thread))

        for url in (conversation_url(thread), run_url(runs[0]), run_url(runs[2])):
            assert f'href="{url}"' in shown
        assert all(f'href="{run_url(run)}"' in story for run in runs)


class TestContent:
    """Without `view_content` nothing that was said is on any page."""

    def test_hidden(self, staff):
        """Neither messages nor events nor state nor names nor errors."""
        thread = rows.a_thread(name="secret name")
        run = rows.a_run(thread, rows.everything(), status="failed", error="secret failure")
        rows.raw(run, rows.everything())
        client = staff("delete_thread", "stop_thread", "archive_thread", "export_thread")
        urls = [
            THREADS,
            f"{THREADS}?q=t1",
            RUNS,
            conversation_url(thread),
            run_url(run),
            f"{run_url(run)}?form=raw",
            reverse("admin:copilotkit_thread_delete", args=[thread.pk]),
            reverse("admin:copilotkit_thread_history", args=[thread.pk]),
            reverse("admin:index"),
        ]

        for url in urls:
            assert "secret" not in page(client, url), url

    def test_hidden__search(self, staff):
        """A search for a name would tell what it is."""
        rows.a_thread("t1", name="secret name")

        assert "0 threads" in page(staff(), f"{THREADS}?q=secret")
        assert "1 thread" in page(staff("view_content"), f"{THREADS}?q=secret")

    @pytest.mark.parametrize(
        ("listed", "query"),
        [
            (THREADS, "name__startswith=s"),
            (THREADS, "runs__error__contains=secret"),
            (THREADS, "runs__compacted__contains=secret"),
            (THREADS, "user__password__startswith=m"),
            (RUNS, "error__contains=secret"),
            (RUNS, "compacted__contains=secret"),
            (RUNS, "thread__name__startswith=s"),
        ],
    )
    def test_hidden__filters(self, staff, listed, query):
        """Nor can an address be made up that tells by what it finds."""
        rows.a_run(rows.a_thread(name="secret name"), error="secret failure")

        assert staff().get(f"{listed}?{query}").status_code == 400

    def test_shown(self, staff):
        """With it, everything is there for whoever may look at threads at all."""
        thread = rows.a_thread(name="secret name")
        run = rows.a_run(thread, rows.everything(), status="failed", error="secret failure")
        client = staff("view_content")

        assert "secret name" in page(client, THREADS)
        for url in (conversation_url(thread), run_url(run)):
            assert "secret failure" in page(client, url)


class TestMarkup:
    MARKUP = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"

    def test_escaped(self, admin_client):
        """Whatever a visitor or an agent writes is text on every page."""
        thread = rows.a_thread(self.MARKUP, f"anon:{self.MARKUP}", name=self.MARKUP)
        thread.agent_id = self.MARKUP
        thread.save()
        run = rows.a_run(
            thread,
            rows.everything(mark=self.MARKUP),
            run_id=self.MARKUP,
            agent_id=self.MARKUP,
            status="failed",
            error=self.MARKUP,
        )
        delete = reverse("admin:copilotkit_thread_delete", args=[thread.pk])

        for url in (THREADS, RUNS, conversation_url(thread), run_url(run), delete):
            shown = page(admin_client, url)
            assert "<script>alert" not in shown
            assert "<img src=x" not in shown
            assert "alert(1)" in shown

    def test_no_inline_scripts(self, admin_client):
        """A strict content security policy holds on the pages of ours."""
        thread = rows.a_thread()
        run = rows.a_run(thread, rows.everything())

        for url in (conversation_url(thread), run_url(run)):
            shown = page(admin_client, url)
            assert "<script>" not in shown
            assert " style=" not in shown
            assert "onclick" not in shown


class TestResultCount:
    def test_everything(self, admin_client):
        """A list of everything offers no link to everything."""
        rows.a_thread()

        assert "Show all" not in page(admin_client, reverse("admin:copilotkit_thread_changelist"))

    @pytest.mark.parametrize("query", ["?q=t1", "?archived__exact=0"])
    def test_some(self, admin_client, query):
        """One of some of them does."""
        rows.a_thread()

        shown = page(admin_client, reverse("admin:copilotkit_thread_changelist") + query)

        assert "Show all" in shown
