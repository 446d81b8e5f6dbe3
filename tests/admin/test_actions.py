"""What can be done about threads, by whom, and what becomes of the runs on them."""

from __future__ import annotations

import asyncio
import json

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connections
from django.test import AsyncClient, Client
from django.urls import reverse

from copilotkit_django.models import Run, Segment, Thread
from copilotkit_django.runners.database import DatabaseRunner
from tests.acting import Staged
from tests.talk import collect, kinds, within
from tests.unit.runners.requests import request_for

from . import rows
from .conftest import staff_user

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = reverse("admin:copilotkit_thread_changelist")
#: Every action, and the permission that it takes.
ACTIONS = {
    "stop": ["stop_thread"],
    "archive": ["archive_thread"],
    "restore": ["archive_thread"],
    "export": ["export_thread", "view_content"],
    "delete_selected": ["delete_thread"],
}


def act(client, action, *threads, **more):
    data = {"action": action, "_selected_action": [thread.pk for thread in threads], **more}
    return client.post(THREADS, data)


def act_on_page(client, action, thread):
    return client.post(reverse("admin:copilotkit_thread_act", args=[thread.pk]), {"action": action})


def said(response) -> list[str]:
    """The messages the next page shows."""
    client = response.client
    return [str(message) for message in client.get(THREADS).context["messages"]]


class TestPermissions:
    @pytest.mark.parametrize("action", ACTIONS)
    def test_without(self, staff, runner, action):
        """Without its permission an action is neither offered nor done, all others granted."""
        others = {name for names in ACTIONS.values() for name in names} - {ACTIONS[action][0]}
        client = staff(*others)
        thread = rows.a_thread()

        listed = client.get(THREADS).content.decode()
        act(client, action, thread)
        asked = act_on_page(client, action, thread)

        assert f'<option value="{action}">' not in listed
        assert asked.status_code == 403
        assert Thread.objects.filter(archived=False).count() == 1
        assert not LogEntry.objects.exists()

    @pytest.mark.parametrize("action", ACTIONS)
    def test_with(self, staff, action):
        """With it, it is offered."""
        rows.a_thread()

        listed = staff(*ACTIONS[action]).get(THREADS).content.decode()

        assert f'<option value="{action}">' in listed

    def test_export__without_content(self, staff):
        """Who may not read cannot have it all sent either."""
        rows.a_thread()

        assert 'value="export"' not in staff("export_thread").get(THREADS).content.decode()

    def test_delete__without(self, staff, runner):
        """The page that asks before it deletes is closed, too."""
        thread = rows.a_thread()
        url = reverse("admin:copilotkit_thread_delete", args=[thread.pk])
        client = staff("stop_thread")

        assert client.get(url).status_code == 403
        assert client.post(url, {"post": "yes"}).status_code == 403
        assert Thread.objects.exists()

    def test_act__no_permission_to_view(self, db):
        """Who may not see threads cannot tell which there are."""
        thread = rows.a_thread()
        user = staff_user("stop_thread")
        user.user_permissions.remove(*user.user_permissions.filter(codename="view_thread"))
        client = Client()
        client.force_login(user)

        assert act_on_page(client, "stop", thread).status_code == 403
        thread.pk = 999
        assert act_on_page(client, "stop", thread).status_code == 403

    def test_act__get(self, admin_client):
        """A link cannot do anything."""
        thread = rows.a_thread()

        response = admin_client.get(reverse("admin:copilotkit_thread_act", args=[thread.pk]))

        assert response.status_code == 405


class TestArchive:
    @pytest.mark.parametrize("do", [act, act_on_page])
    def test_archive_and_restore(self, admin_client, runner, do):
        """Archived and back, from the list and from the thread's page; both are on record."""
        thread = rows.a_thread(name="a name")

        response = do(admin_client, "archive", thread)
        thread.refresh_from_db()
        assert thread.archived
        assert said(response) == ["1 thread archived."]

        do(admin_client, "restore", thread)
        thread.refresh_from_db()
        assert not thread.archived
        assert [str(entry.object_repr) for entry in LogEntry.objects.all()] == ["t1", "t1"]

    def test_two_owners(self, admin_client, runner):
        """Threads of one id but two owners are two threads."""
        mine = rows.a_thread("t1", "user:1")
        theirs = rows.a_thread("t1", "user:2")

        act(admin_client, "archive", mine)

        theirs.refresh_from_db()
        assert not theirs.archived

    @pytest.mark.parametrize("do", [act, act_on_page])
    def test_atomic_requests(self, admin_client, runner, monkeypatch, do):
        """Where requests are transactions, the runner's do not wait for them."""
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
        thread = rows.a_thread()

        response = do(admin_client, "archive", thread)

        assert said(response) == ["1 thread archived."]

    def test_memory(self, admin_client):
        """Where the endpoint keeps its threads elsewhere, nothing is done, and it says so."""
        thread = rows.a_thread()

        response = act(admin_client, "archive", thread)

        assert said(response) == ["Only threads with a finished run can be archived."]

    def test_store_down(self, admin_client, runner):
        """A store that does not answer is no server error."""
        thread = rows.a_thread()
        async_to_sync(runner.drain)()

        response = act(admin_client, "archive", thread)

        assert any("cannot be stored" in text for text in said(response))


class TestDelete:
    def test_from_the_list(self, admin_client, runner):
        """It asks first, then deletes those that were ticked, and nothing of them is left."""
        gone, other = rows.a_thread("t1"), rows.a_thread("t2")
        rows.raw(rows.a_run(gone), rows.everything())
        rows.a_run(other)

        asked = act(admin_client, "delete_selected", gone)
        assert b"Are you sure" in asked.content
        assert Thread.objects.count() == 2
        response = act(admin_client, "delete_selected", gone, post="yes")

        assert said(response) == ["1 thread deleted."]
        assert [thread.thread_id for thread in Thread.objects.all()] == ["t2"]
        assert not Segment.objects.exists()
        assert LogEntry.objects.get().object_repr == "t1"

    def test_from_its_page(self, admin_client, runner):
        """A thread's page leads to the same question."""
        thread = rows.a_thread()
        rows.a_run(thread)
        url = reverse("admin:copilotkit_thread_delete", args=[thread.pk])

        assert b"Are you sure" in admin_client.get(url).content
        response = admin_client.post(url, {"post": "yes"})

        assert response.url == THREADS
        assert not Thread.objects.exists()
        assert not Run.objects.exists()

    def test_everything(self, admin_client, runner):
        """A crafted "select all" takes no more than what was ticked."""
        thread = rows.a_thread("t1")
        rows.a_thread("t2")

        act(admin_client, "delete_selected", thread, post="yes", select_across="1")

        assert Thread.objects.get().thread_id == "t2"


class TestExport:
    def test_lines(self, admin_client):
        """One JSON value a line: the thread, its runs, their events."""
        alice = User.objects.create_user("alice")
        thread = rows.a_thread("a b/c", name="häé\u2028", user=alice)
        rows.a_run(thread, rows.everything())
        rows.a_run(thread, status=Run.Status.SUPERSEDED)
        rows.a_run(thread, rows.asked_and_answered("r3", answer="half \ud83d\nline"))
        live = rows.a_run(thread, status=Run.Status.RUNNING, compacted=None, ended_at=None)
        rows.raw(live, rows.text("a", "par")[:1], rows.text("a", "par")[1:])

        response = act_on_page(admin_client, "export", thread)
        lines = [json.loads(line) for line in b"".join(response).splitlines()]

        assert response["Content-Type"] == "application/x-ndjson"
        assert response["Content-Disposition"] == 'attachment; filename="thread-a-bc.jsonl"'
        assert [line["kind"] for line in lines if line["kind"] != "event"] == [
            "thread",
            "run",
            "run",
            "run",
        ]
        assert lines[0]["name"] == "häé\u2028"
        assert lines[0]["user"] == "alice"
        events = {
            position: [
                line["event"]
                for line in lines
                if line["kind"] == "event" and line["position"] == position
            ]
            for position in (1, 3, 4)
        }
        assert events[1] == rows.everything()
        assert events[3] == rows.asked_and_answered("r3", answer="half \ud83d\nline")
        assert events[4] == rows.text("a", "par")
        assert LogEntry.objects.get().change_message == "Exported in the admin."

    def test_many_runs(self, admin_client):
        """More runs than are read at once, from two threads, each in order."""
        threads = [rows.a_thread("t1"), rows.a_thread("t2")]
        for thread in threads:
            for _ in range(23):
                rows.a_run(thread)

        response = act(admin_client, "export", *threads)
        lines = [json.loads(line) for line in b"".join(response).splitlines()]

        assert response["Content-Disposition"] == 'attachment; filename="threads.jsonl"'
        for thread in threads:
            runs = [
                line["position"]
                for line in lines
                if line["kind"] == "run" and line["threadId"] == thread.thread_id
            ]
            assert runs == list(range(1, 24))

    async def test_asynchronous_server(self, admin_user):
        """Under ASGI it is sent piece by piece, not made in memory first."""
        thread = await sync_to_async(self._long_thread)()
        client = AsyncClient()
        await sync_to_async(client.force_login)(admin_user)

        response = await act_on_page(client, "export", thread)
        pieces = [piece async for piece in response]

        assert len(pieces) > 40
        assert all(json.loads(line) for line in b"".join(pieces).splitlines())

    @staticmethod
    def _long_thread():
        thread = rows.a_thread()
        for _ in range(20):
            rows.a_run(thread)
        return thread


class TestLive:
    """Runs that are under way while somebody in the admin does something about them."""

    @pytest.fixture
    async def live(self, settings, admin_user):
        """A run that hangs, its owner, its reader, and a client of the admin."""
        runner = DatabaseRunner(lease_seconds=5)
        settings.COPILOTKIT = {**settings.COPILOTKIT, "RUNNER": runner}
        agent = Staged()
        reader = asyncio.create_task(collect(await runner.run(request_for(agent))))
        await within(agent.waiting.wait())
        client = AsyncClient()
        await sync_to_async(client.force_login)(admin_user)
        yield agent, reader, client
        await runner.drain()

    async def test_stop(self, live):
        """The agent is told, the reader gets a proper end, the thread is free."""
        agent, reader, client = live
        thread = await Thread.objects.aget()

        await act_on_page(client, "stop", thread)
        events = await within(reader)

        assert agent.cancelled.is_set()
        assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_FINISHED"]
        assert (await Run.objects.aget()).status == Run.Status.STOPPED
        assert not await Thread.objects.exclude(holder="").aexists()

    async def test_stop__in_another_process(self, live, settings):
        """The process that serves the admin need not be the one that runs the agent."""
        agent, reader, client = live
        elsewhere = DatabaseRunner(lease_seconds=5)
        settings.COPILOTKIT = {**settings.COPILOTKIT, "RUNNER": elsewhere}

        response = await act(client, "stop", await Thread.objects.aget())
        events = await within(reader)

        assert response.status_code == 302
        assert agent.cancelled.is_set()
        assert kinds(events)[-1] == "RUN_FINISHED"
        assert (await Run.objects.aget()).status == Run.Status.STOPPED
        await elsewhere.drain()

    async def test_stop__from_a_synchronous_server(self, live, admin_client, settings):
        """Nor need it be one with an event loop."""
        agent, reader, _ = live
        elsewhere = DatabaseRunner(lease_seconds=5)
        settings.COPILOTKIT = {**settings.COPILOTKIT, "RUNNER": elsewhere}
        thread = await Thread.objects.aget()

        await asyncio.to_thread(act, admin_client, "stop", thread)
        await within(reader)

        assert agent.cancelled.is_set()
        await elsewhere.drain()

    async def test_stop__twice(self, live):
        """Stopping again does nothing and says so."""
        _, reader, client = live
        thread = await Thread.objects.aget()
        await act_on_page(client, "stop", thread)
        await within(reader)

        response = await act_on_page(client, "stop", thread)

        shown = await client.get(response.url)
        assert "Nothing was running." in shown.content.decode()

    async def test_page(self, live):
        """The list and the conversation say that it is live."""
        _, _, client = live
        thread = await Thread.objects.aget()

        listed = await client.get(THREADS)
        shown = await client.get(reverse("admin:copilotkit_thread_change", args=[thread.pk]))

        assert b"ck-badge ck-live" in listed.content
        assert b"ck-badge ck-live" in shown.content
        assert b'value="stop"' in shown.content

    async def test_delete(self, live):
        """A live thread that is deleted leaves nothing behind, and its agent ends."""
        agent, reader, client = live
        thread = await Thread.objects.aget()
        url = reverse("admin:copilotkit_thread_delete", args=[thread.pk])

        response = await client.post(url, {"post": "yes"})
        await within(reader)

        assert response.status_code == 302
        assert agent.cancelled.is_set()
        for model in (Thread, Run, Segment):
            assert not await model.objects.aexists()
